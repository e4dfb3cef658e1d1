#!/usr/bin/env bash
# onnx.version_converter moves a linear Resize from opset 10 to 11 and changes its values.
#
# Opset 10 samples at x / scale. Opset 11 has an attribute for that, coordinate_transformation_mode, whose default is
# half_pixel. The converter writes no attribute, so the converted model samples elsewhere. An Upsample of opset 9 goes the
# same way, since it becomes a Resize of opset 10 first. coordinate_transformation_mode=asymmetric would keep the values.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, input 0 1 2 3, scale 2:
#   opset 10: 0 0.5  1    1.5  2    2.5  3    3
#   opset 11: 0 0.25 0.75 1.25 1.75 2.25 2.75 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

X = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
SCALES = numpy_helper.from_array(np.array([1, 1, 1, 2], np.float32), "scales")


def model(operator, opset):
    node = helper.make_node(operator, ["x", "scales"], ["y"], mode="linear")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 8])
    graph = helper.make_graph([node], "g", [x], [y], [SCALES])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def run(model):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0].ravel()


for operator, opset in (("Resize", 10), ("Upsample", 9)):
    original = model(operator, opset)
    converted = version_converter.convert_version(original, 11)
    resize = converted.graph.node[-1]
    print(operator, opset, run(original), "-> 11", run(converted))
    assert np.array_equal(run(original), np.float32([0, 0.5, 1, 1.5, 2, 2.5, 3, 3]))
    assert np.array_equal(run(converted), np.float32([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))
    assert [attribute.name for attribute in resize.attribute] == ["mode"]
PYTHON
