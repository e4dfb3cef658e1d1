#!/usr/bin/env bash
# An AveragePool with ceil_mode=1 and count_include_pad=1: the last window is divided by another number in OpenVINO.
#
# The last window hangs over the end of the padded input. ONNX Runtime (as torch) divides by what lies within the padded
# input, OpenVINO by the whole kernel.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1, six times 6, kernel 3, stride 2, padding 1: ONNX Runtime ends
# with 3 (6 / 2), OpenVINO with 2 (6 / 3).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'openvino==2026.4.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

X = np.full((1, 1, 6), 6, np.float32)
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4])
settings = {"kernel_shape": [3], "strides": [2], "pads": [1, 1], "ceil_mode": 1, "count_include_pad": 1}
graph = helper.make_graph([helper.make_node("AveragePool", ["x"], ["y"], **settings)], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "pool.onnx")
(here,) = onnxruntime.InferenceSession("pool.onnx").run(None, {"x": X})
there = openvino.compile_model("pool.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
print("ONNX Runtime", here.ravel(), "OpenVINO", there.ravel())
assert np.allclose(here.ravel(), [4, 6, 6, 3]) and np.allclose(there.ravel(), [4, 6, 6, 2])
PYTHON
