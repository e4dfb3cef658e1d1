#!/usr/bin/env bash
# OpenVINO gives a one-sided DFT of a real input an axis too many.
#
# ONNX marks a real signal by a last axis of length 1, and that axis becomes the 2 of real and imaginary part. OpenVINO keeps it
# and adds another one. The numbers are right, but the model's declared shape is not kept.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32, input [1, 6, 1] with the declared output [1, 4, 2]:
#   ONNX Runtime [1, 4, 2]   OpenVINO [1, 4, 1, 2]
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
from onnx import TensorProto, helper

X = np.float32([1, 2, 4, 8, 16, 32]).reshape(1, 6, 1)
node = helper.make_node("DFT", ["x"], ["y"], axis=1, onesided=1)
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6, 1])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 2])
graph = helper.make_graph([node], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "dft.onnx")
(here,) = onnxruntime.InferenceSession("dft.onnx").run(None, {"x": X})
there = openvino.compile_model("dft.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
print("ONNX Runtime", here.shape, "OpenVINO", there.shape)
spectrum = np.fft.rfft(X.ravel())
assert here.shape == (1, 4, 2) and there.shape == (1, 4, 1, 2)
for answer in (here, there):
    parts = answer.reshape(4, 2)
    assert np.allclose(parts[:, 0] + 1j * parts[:, 1], spectrum, atol=1e-4)
PYTHON
