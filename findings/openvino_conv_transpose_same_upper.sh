#!/usr/bin/env bash
# OpenVINO shifts a ConvTranspose with output_shape and SAME_UPPER by one where the padding is odd.
#
# ONNX gives the smaller half of the padding to the start for SAME_UPPER and the larger half for SAME_LOWER. OpenVINO
# answers both with what SAME_LOWER means.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32: input 1 0 0, kernel 1 2 3, stride 2, output_shape 6
# (the whole result is 1 2 3 0 0 0 0, one value is to be cut off):
#   SAME_UPPER  ONNX Runtime 1 2 3 0 0 0   OpenVINO 2 3 0 0 0 0
#   SAME_LOWER  ONNX Runtime 2 3 0 0 0 0   OpenVINO 2 3 0 0 0 0
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

X = np.float32([1, 0, 0]).reshape(1, 1, 3)
W = np.float32([1, 2, 3]).reshape(1, 1, 3)
WHOLE = np.float32([1, 2, 3, 0, 0, 0, 0])


def run(padding):
    """The answers of ONNX Runtime and OpenVINO."""
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], auto_pad=padding, output_shape=[6], strides=[2])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 6])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(W, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "transpose.onnx")
    (here,) = onnxruntime.InferenceSession("transpose.onnx").run(None, {"x": X})
    there = openvino.compile_model("transpose.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
    print(padding, "ONNX Runtime", here.ravel(), "OpenVINO", there.ravel())
    return here.ravel(), there.ravel()


here, there = run("SAME_UPPER")
assert np.array_equal(here, WHOLE[:6]) and np.array_equal(there, WHOLE[1:])
here, there = run("SAME_LOWER")
assert np.array_equal(here, WHOLE[1:]) and np.array_equal(there, WHOLE[1:])
PYTHON
