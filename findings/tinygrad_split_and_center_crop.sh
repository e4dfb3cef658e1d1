#!/usr/bin/env bash
# tinygrad's Split into num_outputs parts makes others than ONNX's, and its CenterCropPad misses the middle of odd lengths.
#
# Where the parts do not divide the length, ONNX makes them ceil(length / parts) long and the last one shorter; tinygrad gives one
# sample more to each of the first parts. To crop, ONNX drops (length - new length) / 2 samples in front, rounded down;
# tinygrad drops one less where both lengths are odd, so that what was in the middle no longer is.
# The device PYTHON below stands in for CPU, which needs a C compiler.
#
# Seen with tinygrad 0.14.0 and ONNX Runtime 1.32.0:
#   10 samples in 4 parts: ONNX Runtime 3 3 3 1, tinygrad 3 3 2 2    samples 0 to 4 cropped to 3: ONNX Runtime 1 2 3, tinygrad 0 1 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tinygrad==0.14.0' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'
cd "$folder"
DEV=PYTHON venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner

FLOAT = onnx.TensorProto.FLOAT


def results(node, x, result_type=FLOAT, constants=(), opset=17):
    """The outputs of a model of one node, by ONNX Runtime and by tinygrad."""
    rank = [None] * x.ndim
    values = [onnx.helper.make_tensor_value_info(name, result_type, rank) for name in node.output]
    source = onnx.helper.make_tensor_value_info("x", FLOAT, x.shape)
    graph = onnx.helper.make_graph([node], "g", [source], values, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    seen = session.run(None, {"x": x}), [y.numpy() for y in OnnxRunner("model.onnx")({"x": Tensor(x)}).values()]
    print(node.op_type, "ONNX Runtime", [y.ravel().tolist() for y in seen[0]], "tinygrad", [y.ravel().tolist() for y in seen[1]])
    return seen


for length, expected in ((10, [3, 3, 2, 2]), (11, [3, 3, 3, 2])):
    node = onnx.helper.make_node("Split", ["x"], list("abcd"), num_outputs=4, axis=0)
    runtime, parts = results(node, np.arange(length, dtype=np.float32), opset=18)
    assert [len(part) for part in runtime] == [3, 3, 3, length - 9]
    assert [len(part) for part in parts] == expected

for length, new_length, first in ((5, 3, 0), (7, 3, 1), (6, 4, 1), (5, 2, 1)):
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [1], [new_length])
    node = onnx.helper.make_node("CenterCropPad", ["x", "shape"], ["y"])
    (runtime,), (cropped,) = results(node, np.arange(length, dtype=np.float32), constants=[shape], opset=18)
    assert np.array_equal(runtime, np.arange(new_length) + (length - new_length) // 2)
    assert np.array_equal(cropped, np.arange(new_length) + first)
PYTHON
