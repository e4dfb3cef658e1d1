#!/usr/bin/env bash
# OpenVINO transforms along the first axis after the batch, whatever axis a DFT of opset 20 names.
#
# Up to opset 19 the axis is an attribute, and OpenVINO obeys it. Since opset 20 it is an input, whose default is -2. Where it names
# another axis than 1, as for the rows of an image or the frames of a spectrogram, the answer has the right shape and is wrong.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32: 4 rows of 3 values, transformed along the rows' axis 2.
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


X = np.zeros((1, 4, 3, 2), np.float32)
X[..., 0] = np.arange(12).reshape(4, 3)


def spectrum(axis):
    parts = np.fft.fft(X[..., 0], axis=axis)
    return np.stack([parts.real, parts.imag], -1)


for axis in (1, 2):
    here, there = run(helper.make_node("DFT", ["x"], ["y"], axis=axis), X, X.shape, {}, 17)
    assert np.allclose(here, spectrum(axis), atol=1e-4) and np.allclose(there, spectrum(axis), atol=1e-4)
    here, there = run(helper.make_node("DFT", ["x", "", "axis"], ["y"]), X, X.shape, {"axis": np.int64(axis)}, 20)
    print("opset 20, axis", axis, "ONNX Runtime", here[0, 0, :, 0], "OpenVINO", there[0, 0, :, 0])
    assert np.allclose(here, spectrum(axis), atol=1e-4)
    assert np.allclose(there, spectrum(1), atol=1e-4)
PYTHON
