#!/usr/bin/env bash
# tinygrad quantizes ties to uint8 the other way around than ONNX: 1.5 becomes 1 and 2.5 becomes 3, where both should be 2.
#
# ONNX rounds half to even, and for int8 tinygrad does so as well. For uint8 it adds 0.4999999 and cuts the fraction off. In float32
# that sum stays below the next integer for values up to 2 and reaches it from 2 on.
# The device PYTHON below stands in for CPU, which needs a C compiler.
#
# Seen with tinygrad 0.14.0, scale 1, zero point 0, the numbers 0.5 1.5 2.5 3.5 4.5:
#   ONNX Runtime 1.32.0 0 2 2 4 4   tinygrad int8 0 2 2 4 4   tinygrad uint8 0 1 3 4 5
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


x = np.arange(0.5, 5, dtype=np.float32)
for result_type, expected in ((onnx.TensorProto.INT8, [0, 2, 2, 4, 4]), (onnx.TensorProto.UINT8, [0, 1, 3, 4, 5])):
    scale = onnx.helper.make_tensor("scale", FLOAT, [], [1])
    zero = onnx.helper.make_tensor("zero", result_type, [], [0])
    node = onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])
    (runtime,), (quantized,) = results(node, x, result_type, [scale, zero])
    assert np.array_equal(runtime, np.round(x))
    assert np.array_equal(quantized, expected)
    assert quantized.dtype == runtime.dtype
PYTHON
