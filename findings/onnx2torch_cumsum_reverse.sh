#!/usr/bin/env bash
# onnx2torch sums from the end where an ONNX CumSum leaves the attribute reverse out, whose default is to sum from the start.
#
# The converter takes 1 for the missing attribute, the specification 0. torch.onnx writes a cumsum without the attribute, so that
# the way from PyTorch to ONNX and back turns every running sum around. With reverse=0 written out the result is right.
# torchvision is replaced by an empty module below: of onnx2torch only RoiAlign and NonMaxSuppression need it.
#
# Seen with onnx2torch 1.5.15, the numbers 1 2 3 4:
#   ONNX Runtime 1.32.0 1 3 6 10    onnx2torch 10 9 7 4    with reverse=0 written out, both 1 3 6 10
#   exclusive=1: ONNX Runtime 0 1 3 6    onnx2torch 9 7 4 0
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

x = np.arange(1, 5, dtype=np.float32)
values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
axis = onnx.helper.make_tensor("axis", onnx.TensorProto.INT64, [], [0])


def running_sums(**attributes):
    node = onnx.helper.make_node("CumSum", ["x", "axis"], ["y"], **attributes)
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], [axis])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = session.run(None, {"x": x})[0], onnx2torch.convert(model)(torch.from_numpy(x)).numpy()
    print(attributes, "ONNX Runtime", seen[0], "onnx2torch", seen[1])
    return seen


assert onnx.defs.get_schema("CumSum", 17).attributes["reverse"].default_value.i == 0
for attributes, expected in (({}, [1, 3, 6, 10]), ({"exclusive": 1}, [0, 1, 3, 6])):
    runtime, converted = running_sums(**attributes)
    assert np.array_equal(runtime, expected)
    assert np.array_equal(converted, running_sums(reverse=1, **attributes)[0]) and not np.array_equal(converted, runtime)
    for written_out in running_sums(reverse=0, **attributes):
        assert np.array_equal(written_out, expected)
PYTHON
