#!/usr/bin/env bash
# OpenVINO computes an ONNX LSTM without its peephole weights.
#
# The input P, by which the gates see the cell's state, is accepted and ignored: the answer is the same as with zeros.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32: one unit, weights 1, no recurrence, input 1 -1 0.5:
#   P = 0  ONNX Runtime 0.3696 -0.0148 0.1544   OpenVINO 0.3696 -0.0148 0.1544
#   P = 2  ONNX Runtime 0.4511 -0.0246 0.1418   OpenVINO 0.3696 -0.0148 0.1544
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' 'openvino==2026.4.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper


def run(node, given, shape, constants, opset):
    """The answers of ONNX Runtime and OpenVINO."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, given.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    (here,) = onnxruntime.InferenceSession("model.onnx").run(None, {"x": given})
    return here, openvino.compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": given})[0]


X = np.float32([1, -1, 0.5]).reshape(3, 1, 1)
ONES, ZEROS, BIAS = np.ones((1, 4, 1), np.float32), np.zeros((1, 4, 1), np.float32), np.zeros((1, 8), np.float32)
LSTM = helper.make_node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["y"], hidden_size=1)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def by_hand(p):
    """The unit's values; the input and forget gates see the old state, the output gate the new one."""
    state, values = 0.0, []
    for x in X.ravel():
        state = sigmoid(x + p * state) * state + sigmoid(x + p * state) * np.tanh(x)
        values.append(sigmoid(x + p * state) * np.tanh(state))
    return values


for p in (0.0, 2.0):
    constants = {"w": ONES, "r": ZEROS, "b": BIAS, "p": np.full((1, 3), p, np.float32)}
    here, there = run(LSTM, X, [3, 1, 1, 1], constants, 17)
    print("P =", p, "ONNX Runtime", here.ravel(), "OpenVINO", there.ravel())
    assert np.allclose(here.ravel(), by_hand(p), atol=1e-5)
    assert np.allclose(there.ravel(), by_hand(0), atol=1e-5)
assert not np.allclose(by_hand(0), by_hand(2), atol=1e-2)
PYTHON
