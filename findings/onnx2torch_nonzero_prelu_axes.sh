#!/usr/bin/env bash
# onnx2torch gives the indices of NonZero transposed, and takes a slope of PRelu for the last axis as one for the channels.
#
# ONNX's NonZero gives one row for each axis, torch.nonzero one row for each element, and onnx2torch hands on the latter. A slope of
# shape [n] belongs to the last axis, as in any broadcast of ONNX. Where there are also n channels, as in attention over as many
# tokens as features, onnx2torch lays it along axis 1. With another number of channels it is right.
# torchvision is replaced by an empty module below: of onnx2torch only RoiAlign and NonMaxSuppression need it.
#
# Seen with onnx2torch 1.5.15 and ONNX Runtime 1.32.0:
#   NonZero of a diagonal of 3:                  ONNX Runtime [[0 1 2] [0 1 2]]   onnx2torch [[0 0] [1 1] [2 2]]
#   PRelu of -1 in shape [1, 3, 3], slope 1 2 3: each row -1 -2 -3                each column -1 -2 -3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'torch==2.13.0' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'onnx2torch==1.5.15'
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
import types

import numpy as np
import onnx
import onnxruntime
import torch

for name in ("torchvision", "torchvision.ops"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision.ops"].roi_align = None
import onnx2torch

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def results(op, x, result_type=FLOAT, constants=()):
    values = [
        onnx.helper.make_tensor_value_info("x", FLOAT, x.shape),
        onnx.helper.make_tensor_value_info("y", result_type, [None] * x.ndim),
    ]
    node = onnx.helper.make_node(op, ["x", *(constant.name for constant in constants)], ["y"])
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        seen = session.run(None, {"x": x})[0], onnx2torch.convert(model)(torch.from_numpy(x)).numpy()
    print(op, "ONNX Runtime", seen[0].tolist(), "onnx2torch", seen[1].tolist())
    return seen


runtime, converted = results("NonZero", np.eye(3, dtype=np.float32), INT64)
assert np.array_equal(runtime, np.nonzero(np.eye(3))) and runtime.shape == (2, 3)
assert np.array_equal(converted, runtime.T)

slope = onnx.helper.make_tensor("slope", FLOAT, [3], [1, 2, 3])
runtime, converted = results("PRelu", -np.ones((1, 3, 3), dtype=np.float32), constants=[slope])
assert np.array_equal(runtime[0], np.broadcast_to([-1, -2, -3], (3, 3)))
assert np.array_equal(converted[0], runtime[0].T)
same = results("PRelu", -np.ones((1, 2, 3), dtype=np.float32), constants=[slope])
assert np.array_equal(*same)
PYTHON
