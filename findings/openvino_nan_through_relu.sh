#!/usr/bin/env bash
# OpenVINO turns NaN into 0 in Relu, Clip and Max; LeakyRelu keeps it.
#
# A broken sensor value becomes an ordinary activation, and the network answers as if nothing had been wrong. ONNX
# Runtime, as torch, passes NaN on in all four.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32, input NaN.
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
from onnx import TensorProto, helper, numpy_helper

X = np.float32([[np.nan, 1, -1]])
BOUNDS = {"Relu": [], "Clip": ["low", "high"], "Max": ["low"], "LeakyRelu": []}
VALUES = {"low": np.float32(0), "high": np.float32(6)}
for operator, bounds in BOUNDS.items():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    constants = [numpy_helper.from_array(VALUES[name], name) for name in bounds]
    graph = helper.make_graph([helper.make_node(operator, ["x", *bounds], ["y"])], "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, "nan.onnx")
    (here,) = onnxruntime.InferenceSession("nan.onnx").run(None, {"x": X})
    there = openvino.compile_model("nan.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
    print(operator, "ONNX Runtime", here[0], "OpenVINO", there[0])
    assert np.isnan(here[0, 0])
    assert np.isnan(there[0, 0]) if operator == "LeakyRelu" else there[0, 0] == 0
PYTHON
