#!/usr/bin/env bash
# ONNX's reference evaluator divides an LpNormalization of p = 1 by the sum of the values with their signs.
#
# The L1 norm is the sum of the absolute values. Values of both signs give another sum, and a result whose own L1 norm is
# not 1. Values whose sum is negative change their sign. With p = 2 nothing is wrong.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1:
#   input  1 -2 3   ONNX Runtime 0.1667 -0.3333 0.5   ReferenceEvaluator 0.5 -1 1.5
#   input -1 -2 1   ONNX Runtime -0.25 -0.5 0.25      ReferenceEvaluator 0.5 1 -0.5
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


def run(values, p):
    """The answers of ONNX Runtime and of the reference evaluator."""
    values = np.float32([values])
    node = helper.make_node("LpNormalization", ["x"], ["y"], axis=1, p=p)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name in "xy")
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    (here,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": values})
    (there,) = ReferenceEvaluator(model).run(None, {"x": values})
    print("input", values[0], "p", p, "ONNX Runtime", here[0], "ReferenceEvaluator", there[0])
    assert np.allclose(here, values / np.linalg.norm(values, ord=p, axis=1), atol=1e-6)
    return there[0]


assert np.allclose(run([1, -2, 3], 1), [0.5, -1, 1.5])
assert np.allclose(run([-1, -2, 1], 1), [0.5, 1, -0.5])
assert np.allclose(run([1, -2, 3], 2), np.array([1, -2, 3]) / np.sqrt(14))
PYTHON
