#!/usr/bin/env bash
# tract computes Celu without the factor alpha before the exponential.
#
# Celu is max(0, x) + min(0, alpha (exp(x / alpha) - 1)). With alpha 1, the default, nothing is wrong; with 2, every negative
# value comes out half as large.
#
# Seen with tract 0.23.9 and onnxruntime 1.31.1, input -2 -1 1, alpha 2:
#   ONNX Runtime -1.2642 -0.7869 1   tract -0.6321 -0.3935 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' 'tract==0.23.9'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import tract
from onnx import TensorProto, helper

X = np.float32([-2, -1, 1])
for alpha in (1.0, 2.0):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Celu", ["x"], ["y"], alpha=alpha)], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "celu.onnx")
    (here,) = onnxruntime.InferenceSession("celu.onnx").run(None, {"x": X})
    there = tract.onnx().load("celu.onnx").into_model().into_runnable().run([X])[0].to_numpy()
    print("alpha", alpha, "ONNX Runtime", here, "tract", there)
    right = np.where(X < 0, alpha * np.expm1(X / alpha), X)
    assert np.allclose(here, right, atol=1e-6)
    assert np.allclose(there, np.where(X < 0, right / alpha, X), atol=1e-6)
PYTHON
