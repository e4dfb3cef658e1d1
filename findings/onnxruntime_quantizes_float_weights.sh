#!/usr/bin/env bash
# ONNX Runtime quantizes the float weights of a Conv that stands between DequantizeLinear and QuantizeLinear, with one scale for all.
#
# A model may keep the weights of a layer in float32 because 8 bits are too coarse for them. With the default optimizations, ONNX Runtime
# makes the layer a QLinearConv. Its weights get the scale of the greatest among all channels, so that a channel of small
# weights, as batch normalization folded into them often leaves, becomes 0. The session option session.disable_quant_qdq keeps them.
#
# Seen with onnxruntime 1.31.1 on the CPU: two channels apart (group = 2), weights 1 and 0.0015, inputs 0.5 and 60:
#   float weights, all optimizations off  0.5 and 0.09   default  0.5 and 0
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
from onnx import TensorProto, helper, numpy_helper

X = np.float32([[[0.5], [60]]])
WEIGHTS = np.float32([1, 0.0015]).reshape(2, 1, 1)
constants = {
    "weights": WEIGHTS,
    "in_scale": np.float32(0.5),
    "out_scale": np.float32(0.005),
    "zero": np.int8(0),
}
nodes = [
    helper.make_node("QuantizeLinear", ["x", "in_scale", "zero"], ["q"]),
    helper.make_node("DequantizeLinear", ["q", "in_scale", "zero"], ["a"]),
    helper.make_node("Conv", ["a", "weights"], ["c"], group=2),
    helper.make_node("QuantizeLinear", ["c", "out_scale", "zero"], ["r"]),
    helper.make_node("DequantizeLinear", ["r", "out_scale", "zero"], ["y"]),
]
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
graph = helper.make_graph(nodes, "g", [x], [y], initializers)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)


def run(level=None, entries=()):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if level is not None:
        options.graph_optimization_level = level
    for key, value in entries:
        options.add_session_config_entry(key, value)
    options.optimized_model_filepath = "optimized.onnx"
    values = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": X})[0].ravel()
    return values, {node.op_type for node in onnx.load("optimized.onnx").graph.node}


off, _ = run(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
default, operators = run()
kept, _ = run(entries=[("session.disable_quant_qdq", "1")])
print("off", off, "default", default, sorted(operators), "disable_quant_qdq", kept)
assert np.allclose(X.ravel() * WEIGHTS.ravel(), [0.5, 0.09])
assert np.allclose(off, [0.5, 0.09]) and np.allclose(kept, [0.5, 0.09])
assert "QLinearConv" in operators
assert np.allclose(default, [0.5, 0])
PYTHON
