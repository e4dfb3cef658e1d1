#!/usr/bin/env bash
# OpenVINO reads a Softmax of ONNX opset 11 or 12 as if it were one of opset 13: along one axis only.
#
# Up to opset 12 Softmax flattens all axes from `axis` (default 1) on, so that each of them together sums to 1. Conversion
# succeeds, and no message is printed. An axis that is the last one gives the same in both.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1, input of zeros of shape 2 x 3 x 4, default axis: ONNX Runtime gives
# 1/12 everywhere, OpenVINO 1/3.
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

X = np.zeros((2, 3, 4), np.float32)
for opset in (11, 12):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "softmax.onnx")
    (here,) = onnxruntime.InferenceSession("softmax.onnx").run(None, {"x": X})
    there = openvino.compile_model("softmax.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
    print("opset", opset, "ONNX Runtime", here.ravel()[0], "OpenVINO", there.ravel()[0])
    assert np.allclose(here, 1 / 12) and np.allclose(there, 1 / 3)
PYTHON
