#!/usr/bin/env bash
# onnx2pytorch multiplies by a constant from the right where a MatMul or Gemm has it on the left.
#
# Each MatMul with an initializer becomes a Linear layer of the input, whichever of the two factors that is. A
# constant in front, such as an adjacency matrix of channels, a mixing over positions or a Fourier matrix, must act on
# the last but one axis. For square constants the shapes fit, and nothing is said. Gemm does the same.
# torchvision is replaced by empty modules below: of onnx2pytorch only operators for images need it.
#
# Seen with onnx2pytorch 0.6.0, onnx 1.23.2 and onnxruntime 1.32.0, W = (0 1, 0 0) and x = (1 2, 3 4):
#   W x   ONNX Runtime (3 4, 0 0)   onnx2pytorch (0 1, 0 3), which is x W
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'torch==2.13.0' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'onnx2pytorch==0.6.0'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import sys
import types

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

for name, contents in {
    "torchvision": (),
    "torchvision.io": ("decode_image", "ImageReadMode"),
    "torchvision.ops": ("deform_conv2d", "roi_pool", "roi_align"),
}.items():
    sys.modules[name] = types.ModuleType(name)
    for each in contents:
        setattr(sys.modules[name], each, None)
from onnx2pytorch import ConvertModel

W = np.float32([[0, 1], [0, 0]])


def compare(op, inputs, x):
    node = helper.make_node(op, inputs, ["y"])
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, x.shape) for each in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [numpy_helper.from_array(W, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    seen = ConvertModel(model)(torch.from_numpy(x)).detach().numpy()
    print(op, inputs, "ONNX Runtime", expected.tolist(), "onnx2pytorch", seen.tolist())
    return expected, seen


plane = np.float32([[1, 2], [3, 4]])
for op, x in (("MatMul", plane), ("Gemm", plane), ("MatMul", np.stack([plane, 10 * plane]))):
    expected, seen = compare(op, ["w", "x"], x)
    assert np.array_equal(expected, W @ x) and np.array_equal(seen, x @ W) and not np.array_equal(W @ x, x @ W)
    expected, seen = compare(op, ["x", "w"], x)
    assert np.array_equal(expected, x @ W) and np.array_equal(seen, x @ W)
PYTHON
