#!/usr/bin/env bash
# OpenVINO drops QuantizeLinear and DequantizeLinear of 16 bits, and with them the clipping to their range.
#
# An unsigned type with zero point 0 cuts negative values off, which is how quantizers fold a ReLU. OpenVINO keeps the
# negative values, so what follows gets numbers that the model cannot produce. Pairs of 8 bits are right.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32, a Conv that copies -2 -1 0 1 2, then the pair with scale
# 1 / 65536 (16 bits) or 1 / 256 (8 bits):
#   16 bits  ONNX Runtime 0 0 0 0.99998 0.99998   OpenVINO -2 -1 0 1 2
#    8 bits  ONNX Runtime 0 0 0 0.99609 0.99609   OpenVINO 0 0 0 0.99609 0.99609
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

X = np.float32([-2, -1, 0, 1, 2]).reshape(1, 1, 5)
NODES = [
    helper.make_node("Conv", ["x", "w"], ["c"]),
    helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["q"]),
    helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
]


def run(dtype):
    """The answers of ONNX Runtime and OpenVINO."""
    scale = np.float32(1 / (np.iinfo(dtype).max + 1))
    constants = {"w": np.ones((1, 1, 1), np.float32), "scale": scale, "zero": np.zeros((), dtype)}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(NODES, "g", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, "pair.onnx")
    (here,) = onnxruntime.InferenceSession("pair.onnx").run(None, {"x": X})
    there = openvino.compile_model("pair.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
    print(dtype.__name__, "ONNX Runtime", here.ravel(), "OpenVINO", there.ravel())
    return here, there


here, there = run(np.uint8)
assert np.array_equal(here, there) and there.min() == 0
here, there = run(np.uint16)
assert np.array_equal(here.ravel(), np.float32([0, 0, 0, 65535 / 65536, 65535 / 65536]))
assert np.array_equal(there, X)
PYTHON
