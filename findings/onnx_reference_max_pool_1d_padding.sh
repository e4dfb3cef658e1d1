#!/usr/bin/env bash
# ONNX's reference evaluator leaves the padding at the end out of a MaxPool along one axis.
#
# The output is one window short, although the shape inference of the same package counts the window. Padding in front
# raises an IndexError. MaxPool of two axes, and AveragePool of one, are right.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, input 1 2 3 4, kernel 2, pads 0 and 1:
#   shape inference 4   ONNX Runtime 2 3 4 4   ReferenceEvaluator 2 3 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def run(op, axes, *, front=0, back=1):
    """The answers of ONNX Runtime and of the reference evaluator, with padding along the last axis."""
    shape = (1, 1, *[1] * (axes - 1), 4)
    pads = [*[0] * (axes - 1), front, *[0] * (axes - 1), back]
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=[1] * (axes - 1) + [2], pads=pads)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    inferred = tuple(size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim)
    feed = {"x": np.arange(1, 5, dtype=np.float32).reshape(shape)}
    (here,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    assert here.shape == inferred
    (there,) = ReferenceEvaluator(model).run(None, feed)
    print(op, axes, "inferred", inferred, "ONNX Runtime", here.ravel(), "ReferenceEvaluator", there.ravel())
    return here.ravel().tolist(), there.ravel().tolist()


assert run("MaxPool", 1) == ([2, 3, 4, 4], [2, 3, 4])
assert run("MaxPool", 2) == ([2, 3, 4, 4], [2, 3, 4, 4])
assert run("AveragePool", 1) == ([1.5, 2.5, 3.5, 4], [1.5, 2.5, 3.5, 4])
try:
    run("MaxPool", 1, front=1, back=0)
except IndexError as error:
    print("padding in front:", error)
else:
    raise AssertionError("no IndexError")
PYTHON
