#!/usr/bin/env bash
# onnx2torch gives the outputs of a model in the order of the node that makes them, and also those that the model does not have.
#
# A graph that ends in a TopK and asks for the indices first gets the values first. One that asks for the indices alone gets
# both, so that the first result, which others take for the prediction, are the values. The same holds for Split, where the two
# parts have the same type and shape and nothing tells that they are swapped.
# torchvision is replaced by an empty module below: of onnx2torch only RoiAlign and NonMaxSuppression need it.
#
# Seen with onnx2torch 1.5.15, the numbers 3 1 2 9:
#   Split in two, second half asked for first: ONNX Runtime 1.32.0 [2 9] [3 1]   onnx2torch [3 1] [2 9]
#   TopK of 2, indices alone asked for:        ONNX Runtime [3 0]                onnx2torch [9 3] [3 0]
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
x = np.array([3, 1, 2, 9], dtype=np.float32)
two, halves = onnx.helper.make_tensor("two", INT64, [1], [2]), onnx.helper.make_tensor("halves", INT64, [2], [2, 2])
split = onnx.helper.make_node("Split", ["x", "halves"], ["first", "second"], axis=0)
top = onnx.helper.make_node("TopK", ["x", "two"], ["values", "indices"])


def outputs(node, initializer, names):
    values = [onnx.helper.make_tensor_value_info(name, INT64 if name == "indices" else FLOAT, [2]) for name in names]
    graph = onnx.helper.make_graph([node], "g", [onnx.helper.make_tensor_value_info("x", FLOAT, [4])], values, [initializer])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    runtime = [y.tolist() for y in session.run(None, {"x": x})]
    converted = [y.tolist() for y in onnx2torch.convert(model)(torch.from_numpy(x))]
    print(names, "ONNX Runtime", runtime, "onnx2torch", converted)
    return runtime, converted


expected = {"first": [3, 1], "second": [2, 9], "values": [9, 3], "indices": [3, 0]}
for node, initializer, names in (
    (split, halves, ["first", "second"]),
    (split, halves, ["second", "first"]),
    (split, halves, ["second"]),
    (top, two, ["indices", "values"]),
    (top, two, ["indices"]),
):
    runtime, converted = outputs(node, initializer, names)
    assert runtime == [expected[name] for name in names]
    assert converted == [expected[name] for name in node.output]
PYTHON
