#!/usr/bin/env bash
# onnx2pytorch takes 1/6 for HardSigmoid slopes from 0.157 to 0.176, and resizes to other neighbors than ONNX.
#
# torch has a hard sigmoid of slope 1/6 alone, and onnx2pytorch uses it for whatever is within 0.01 of that. With a
# slope of 0.16 the answer is off by up to 0.02. A Resize without attributes takes the nearest value to the center of
# each new position, and the lower of two. torch's interpolate rounds the start of each position down. Attributes that
# are written out bring a warning; the defaults bring none.
# torchvision is replaced by empty modules below: of onnx2pytorch only operators for images need it.
#
# Seen with onnx2pytorch 0.6.0, onnx 1.23.2 and onnxruntime 1.32.0:
#   HardSigmoid of -2 and 2, slope 0.16   ONNX Runtime 0.18 0.82   onnx2pytorch 0.167 0.833
#   Resize of 0 to 11 by 1/3              ONNX Runtime 1 4 7 10    onnx2pytorch 0 3 6 9
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'torch==2.13.0' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'onnx2pytorch==0.6.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
import types
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

for name, contents in {
    "torchvision": (),
    "torchvision.io": ("decode_image", "ImageReadMode"),
    "torchvision.ops": ("deform_conv2d", "roi_pool", "roi_align"),
}.items():
    sys.modules[name] = types.ModuleType(name)
    for each in contents:
        setattr(sys.modules[name], each, None)
from onnx2pytorch import ConvertModel


def compare(node, x, length, constants=()):
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", x.shape), ("y", (1, 1, length)))
    ]
    graph = helper.make_graph([node], "g", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0].ravel()
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0].ravel()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen = ConvertModel(model)(torch.from_numpy(x)).numpy().ravel()
    about = [str(each.message) for each in caught if "differ" in str(each.message)]
    print(node.op_type, "ONNX Runtime", expected, "onnx", reference, "onnx2pytorch", seen, about)
    assert np.allclose(expected, reference) and not about
    return expected, seen


x = np.float32([-2, 0, 2]).reshape(1, 1, 3)
for slope in (0.15, 0.16, 0.175, 0.2):
    expected, seen = compare(helper.make_node("HardSigmoid", ["x"], ["y"], alpha=slope), x, 3)
    assert np.allclose(expected, 0.5 + slope * x.ravel())
    assert np.allclose(seen, 0.5 + x.ravel() * (1 / 6 if abs(slope - 1 / 6) < 0.01 else slope))

for scale, same in ((3, True), (0.5, True), (1 / 3, False), (0.25, False)):
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 12)
    scales = numpy_helper.from_array(np.float32([1, 1, scale]), "s")
    length = int(np.floor(np.float32(scale) * 12))
    expected, seen = compare(helper.make_node("Resize", ["x", "", "s"], ["y"]), x, length, [scales])
    assert np.array_equal(expected, seen) == same
    assert np.array_equal(seen, np.floor(np.arange(length) / scale + 1e-6))
PYTHON
