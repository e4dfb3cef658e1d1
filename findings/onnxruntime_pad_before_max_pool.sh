#!/usr/bin/env bash
# ONNX Runtime merges a Pad of zeros into the MaxPool behind it, so the zeros no longer count; onnxoptimizer does the same.
#
# The zeros of a Pad are values, and greater than negative ones. What MaxPool pads by itself is never the greatest. ONNX Runtime
# merges the two from the level ORT_ENABLE_BASIC on, and so by default. onnxoptimizer's pass fuse_pad_into_pool does it in the file.
# A model that never sees a negative value in front of the pool shows no difference.
#
# Seen with onnx 1.23.2, onnxruntime 1.31.1 and onnxoptimizer 0.4.2: input -1 -2 -3, one zero before and after it, kernel 2:
#   specification, all optimizations off  0 -1 -2 0   default  -1 -1 -2 -3   after onnxoptimizer, all off  -1 -1 -2 -3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'onnx==1.23.2' 'onnxruntime==1.31.1' 'onnxoptimizer==0.4.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxoptimizer
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

X = np.float32([[[-1, -2, -3]]])
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, 4))
nodes = [
    helper.make_node("Pad", ["x", "pads"], ["padded"]),
    helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[2]),
]
pads = numpy_helper.from_array(np.int64([0, 0, 1, 0, 0, 1]), "pads")
graph = helper.make_graph(nodes, "g", [x], [y], [pads])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
Level = onnxruntime.GraphOptimizationLevel


def run(model, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": X})[0].ravel()


padded = np.pad(X[0, 0], 1)
right = np.maximum(padded[:-1], padded[1:])
assert right.tolist() == [0, -1, -2, 0]
assert ReferenceEvaluator(model).run(None, {"x": X})[0].ravel().tolist() == right.tolist()
off = run(model, Level.ORT_DISABLE_ALL)
basic = run(model, Level.ORT_ENABLE_BASIC)
default = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0].ravel()
print("off", off, "basic", basic, "default", default)
assert off.tolist() == right.tolist()
assert basic.tolist() == default.tolist() == [-1, -1, -2, -3]
for passes in (["fuse_pad_into_pool"], onnxoptimizer.get_fuse_and_elimination_passes()):
    optimized = onnxoptimizer.optimize(model, passes)
    after = run(optimized, Level.ORT_DISABLE_ALL)
    print("after onnxoptimizer", [node.op_type for node in optimized.graph.node], after)
    assert after.tolist() == [-1, -1, -2, -3]
PYTHON
