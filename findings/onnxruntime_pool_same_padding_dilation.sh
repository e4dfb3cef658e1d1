#!/usr/bin/env bash
# ONNX Runtime's pools with auto_pad SAME_UPPER or SAME_LOWER pad as if there were no dilation, and the output is shorter.
#
# The specification gives the output ceil(length / stride) values. ONNX's shape inference counts so, and with the padding
# written out as `pads`, ONNX Runtime does as well.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, input 1 to 7, kernel 3, dilation 2, stride 1, SAME_UPPER:
#   inferred 7, with pads 2 and 2: 3 4 5 6 7 6 7   ONNX Runtime 4 5 6 7 6
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

X = np.arange(1, 8, dtype=np.float32).reshape(1, 1, 7)
KERNEL, DILATION = 3, 2


def run(op, **attributes):
    """The inferred length, and the answer of ONNX Runtime."""
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=[KERNEL], dilations=[DILATION], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    graph = helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    inferred = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
    (y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    print(op, attributes, "inferred", inferred, "ONNX Runtime", y.ravel())
    return inferred, y.ravel()


for op in ("MaxPool", "AveragePool", "LpPool"):
    inferred, right = run(op, pads=[DILATION * (KERNEL - 1) // 2] * 2)
    assert inferred == len(right) == X.shape[2]
    for side in ("SAME_UPPER", "SAME_LOWER"):
        inferred, there = run(op, auto_pad=side)
        assert inferred == X.shape[2]
        assert np.allclose(there, right[1:-1], atol=1e-5)  # one value of padding at each end, where two are needed
PYTHON
