#!/usr/bin/env bash
# ONNX's reference evaluator takes rows where an unsorted Unique of axis 1 asks for columns.
#
# The indices, their inverse and the counts are right. The values are the first rows, as many as there are unique columns.
# With sorted=1 the values are right, too.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, columns (3 2 1), (1 5 1) and (3 2 1) again:
#   ONNX Runtime, columns (3 2 1) (1 5 1)   ReferenceEvaluator, rows (3 1 3) (2 5 2)
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

X = np.float32([[3, 1, 3], [2, 5, 2], [1, 1, 1]])
FIRST = [0, 1]  # where each unique column is seen first


def run(in_order):
    """The unique columns of ONNX Runtime and of the reference evaluator."""
    names = ["y", "indices", "inverse", "counts"]
    node = helper.make_node("Unique", ["x"], names, axis=1, sorted=in_order)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    graph = helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name=name) for name in names])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    here = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    there = ReferenceEvaluator(model).run(None, {"x": X})
    print("sorted", in_order, "ONNX Runtime", here[0].tolist(), "ReferenceEvaluator", there[0].tolist())
    assert all(np.array_equal(one, other) for one, other in zip(here[1:], there[1:], strict=True))
    return here[0], there[0]


here, there = run(0)
assert np.array_equal(here, X[:, FIRST])
assert np.array_equal(there, X[FIRST])
here, there = run(1)
assert np.array_equal(here, X[:, [1, 0]]) and np.array_equal(there, here)
PYTHON
