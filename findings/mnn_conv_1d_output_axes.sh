#!/usr/bin/env bash
# A Conv along one axis ends an ONNX model: MNN's converter adds a fourth axis of 1 to the output.
#
# The model declares its output as [batch, channels, length], and onnx's shape inference and ONNX Runtime agree. What MNN's
# module gives is [batch, channels, length, 1].
#
# Seen with onnx 1.23.2, onnxruntime 1.31.1, MNN 3.6.1: (2, 8, 20) in ONNX Runtime, (2, 8, 20, 1) in MNN, the same numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'MNN==3.6.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

model = parser.parse_model(
    '<ir_version: 9, opset_import: ["" : 18]>'
    "net (float[2,8,20] x) => (float[2,8,20] y) { y = Conv<pads = [2, 2]>(x, w) }"
)
weight = np.random.default_rng(0).standard_normal((8, 8, 5)).astype("f4")
model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "conv.onnx")

import _tools
import MNN.expr as expr
import MNN.nn as nn

_tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", "conv.onnx", "--MNNModel", "conv.mnn", "--bizCode", "x"])
module = nn.load_module_from_file("conv.mnn", ["x"], ["y"], precision_mode=expr.PrecisionMode.High)
X = np.random.default_rng(1).standard_normal((2, 8, 20)).astype("f4")
(value,) = module.forward([expr.const(X, list(X.shape), expr.NCHW, expr.float)])
there = np.array(expr.convert(value, expr.NCHW).read())
(here,) = onnxruntime.InferenceSession("conv.onnx").run(None, {"x": X})
print("ONNX Runtime", here.shape, "MNN", there.shape)
assert here.shape == (2, 8, 20) and there.shape == (2, 8, 20, 1)
assert np.allclose(there[..., 0], here, atol=1e-4)
PYTHON
