#!/usr/bin/env bash
# ONNX's reference evaluator normalizes the first channel alone in LRN, and copies the others.
#
# LRN divides each value by (bias + alpha / size * sum of squares over the neighbouring channels) ** beta. The parameters
# are chosen below so that this power is far from 1. With the default alpha of 0.0001 the copies are close to right, so that
# a comparison with a tolerance does not see them.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, channels 1 2 3 4, size 3, alpha 3, beta 1:
#   specification, ONNX Runtime  0.1667 0.1333 0.1 0.1538   ReferenceEvaluator  0.1667 2 3 4
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

SIZE, ALPHA, BETA, BIAS = 3, 3.0, 1.0, 1.0
X = np.float32([1, 2, 3, 4]).reshape(1, 4, 1, 1)

node = helper.make_node("LRN", ["x"], ["y"], size=SIZE, alpha=ALPHA, beta=BETA, bias=BIAS)
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model, full_check=True)

squares = np.pad(X.ravel() ** 2, 1)
sums = squares[:-2] + squares[1:-1] + squares[2:]
right = X.ravel() / (BIAS + ALPHA / SIZE * sums) ** BETA
(here,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
(there,) = ReferenceEvaluator(model).run(None, {"x": X})
print("specification", right, "ONNX Runtime", here.ravel(), "ReferenceEvaluator", there.ravel())
assert np.allclose(here.ravel(), right, atol=1e-6)
assert np.allclose(there.ravel(), [right[0], 2, 3, 4], atol=1e-6)
PYTHON
