#!/usr/bin/env bash
# tinygrad's Conv with SAME_UPPER drops the first samples where the stride is larger than the kernel, and forgets the dilation.
#
# The padding for ceil(length / stride) outputs is negative for such a stride, and ONNX then pads nothing. tinygrad cuts that much
# off, for SAME_UPPER at the start, so that a shortcut of one tap and stride 2, as in residual networks, takes the samples
# between. A dilated kernel is padded as if it were not dilated, and the output is shorter than ONNX says.
# The device PYTHON below stands in for CPU, which needs a C compiler.
#
# Seen with tinygrad 0.14.0, the samples 1 to 8 and a kernel of one tap with stride 2:
#   ONNX Runtime 1.32.0 1 3 5 7   tinygrad 2 4 6 8    three taps, dilation 2: 8 outputs by shape inference, 6 by tinygrad
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
x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 8)


def conv(kernel, **attributes):
    """A model of one Conv, and what tinygrad makes of it."""
    values = [onnx.helper.make_tensor_value_info("x", FLOAT, x.shape), onnx.helper.make_tensor_value_info("y", FLOAT, [None] * 3)]
    weight = onnx.helper.make_tensor("w", FLOAT, [1, 1, len(kernel)], kernel)
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    return model, OnnxRunner("model.onnx")({"x": Tensor(x)})["y"].numpy().ravel()


for stride, by_tinygrad in ((1, [1, 2, 3, 4, 5, 6, 7, 8]), (2, [2, 4, 6, 8])):
    model, converted = conv([1.0], auto_pad="SAME_UPPER", strides=[stride])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    runtime = session.run(None, {"x": x})[0].ravel()
    print("stride", stride, "ONNX Runtime", runtime, "tinygrad", converted)
    assert np.array_equal(runtime, x.ravel()[::stride])
    assert np.array_equal(converted, by_tinygrad)

for dilation, outputs in ((1, 8), (2, 6)):
    model, converted = conv([0.0, 1.0, 0.0], auto_pad="SAME_UPPER", dilations=[dilation])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.shape.dim[2]
    explicit = conv([0.0, 1.0, 0.0], pads=[dilation, dilation], dilations=[dilation])[1]
    print("dilation", dilation, "inferred", inferred.dim_value, "tinygrad", converted, "with the padding written out", explicit)
    assert inferred.dim_value == 8
    assert np.array_equal(explicit, x.ravel())
    assert len(converted) == outputs
PYTHON
