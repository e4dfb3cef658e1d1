#!/usr/bin/env bash
# onnx.version_converter moves Hardmax from opset 11 to 13 and changes its values; Softmax and LogSoftmax keep theirs.
#
# Up to opset 12 these operators flatten all axes from `axis` (default 1) on; from 13 on they work along one axis
# (default -1). For Softmax and LogSoftmax the converter adds Flatten and Reshape. Hardmax is copied as it is.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, input of shape 2 x 3 x 4: Hardmax has 2 ones before and 6 after;
# Softmax sums to 2 before and after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, version_converter

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)


def run(model):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0]


for operator, before, after in (("Softmax", 2, 2), ("Hardmax", 2, 6)):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", [x], [y])
    original = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    converted = version_converter.convert_version(original, 13)
    nodes = [node.op_type for node in converted.graph.node]
    print(operator, "sums to", run(original).sum(), "in opset 11 and", run(converted).sum(), "in opset 13:", nodes)
    assert np.isclose(run(original).sum(), before)
    assert np.isclose(run(converted).sum(), after)
PYTHON
