#!/usr/bin/env bash
# onnx2torch's ReduceMax, ReduceMin and ReduceProd without keepdims take other axes than the model's where these are negative.
#
# They reduce one axis after the other and count the next one down for each axis that is gone already. An axis counted from the end
# must stay: -2 and then -1 become -2 and then -2. A maximum over the positions of [batch, channels, height, width] runs over
# channels and height. ReduceMean and the like reduce all axes at once and are right, as are axes counted from the start.
# torchvision is replaced by an empty module below: of onnx2torch only RoiAlign and NonMaxSuppression need it.
#
# Seen with onnx2torch 1.5.15, the axes -2 and -1 of a tensor of shape [1, 2, 3, 4]:
#   ONNX Runtime 1.32.0 [1, 2]   onnx2torch [1, 4]   and in a tensor of shape [1, 4, 4, 4] the same shape with other values
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


def reduced(op, x, axes, keepdims):
    values = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape),
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * (4 if keepdims else 2)),
    ]
    node = onnx.helper.make_node(op, ["x"], ["y"], axes=axes, keepdims=keepdims)
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0], onnx2torch.convert(model)(torch.from_numpy(x)).numpy()


numpy_names = {"ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod, "ReduceMean": np.mean}
for shape in ((1, 2, 3, 4), (1, 4, 4, 4)):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for op, by_numpy in numpy_names.items():
        expected = by_numpy(x, axis=(2, 3))
        runtime, converted = reduced(op, x, [-2, -1], 0)
        print(op, shape, "ONNX Runtime", runtime, "onnx2torch", converted)
        assert np.allclose(runtime, expected, rtol=1e-4, atol=1e-6)
        if op == "ReduceMean":
            assert np.allclose(converted, expected, rtol=1e-4, atol=1e-6)
        else:
            assert np.allclose(converted, by_numpy(x, axis=(1, 2)), rtol=1e-4, atol=1e-6)
            assert converted.shape != expected.shape or not np.isclose(converted, expected, rtol=1e-4, atol=1e-6).all()
        for others in (reduced(op, x, [2, 3], 0), reduced(op, x, [-2, -1], 1)):
            assert all(np.allclose(other.reshape(expected.shape), expected, rtol=1e-4, atol=1e-6) for other in others)
PYTHON
