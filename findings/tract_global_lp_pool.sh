#!/usr/bin/env bash
# tract's GlobalLpPool takes the mean in place of the sum, and for p = 1 adds values with their signs.
#
# The operator is the p-norm over all positions: the root of the sum of the powers of absolute values.
#
# Seen with tract 0.23.9 and onnxruntime 1.31.1, input 3 -4 0 0 (one channel of 2 x 2):
#   p = 2  ONNX Runtime 5   tract 2.5
#   p = 1  ONNX Runtime 7   tract -0.25
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

X = np.float32([3, -4, 0, 0]).reshape(1, 1, 2, 2)
for p, right, seen in ((2, 5, 2.5), (1, 7, -0.25)):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])
    graph = helper.make_graph([helper.make_node("GlobalLpPool", ["x"], ["y"], p=p)], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "pool.onnx")
    (here,) = onnxruntime.InferenceSession("pool.onnx").run(None, {"x": X})
    there = tract.onnx().load("pool.onnx").into_model().into_runnable().run([X])[0].to_numpy()
    print("p", p, "ONNX Runtime", here.ravel(), "tract", there.ravel())
    assert np.isclose(here.item(), right) and np.isclose(there.item(), seen)
PYTHON
