#!/usr/bin/env bash
# ONNX's reference evaluator leaves the dilation out of auto_pad in AveragePool and LpPool, and fills the end with zeros.
#
# VALID must pad nothing. The evaluator gives as many values as a kernel without gaps would, the last of them 0. With
# SAME_UPPER the values are shifted, too. The same padding written out as `pads` gives the right values.
#
# Seen with onnx 1.23.2, AveragePool, input 1 to 7, dilation 2:
#   VALID, kernel 2       inferred 5 values, pads 0 0: 2 3 4 5 6       VALID       2 3 4 5 6 0
#   SAME_UPPER, kernel 3  inferred 7 values, pads 2 2: 2 3 3 4 5 5 6   SAME_UPPER  3 3 4 5 5 0 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

X = np.arange(1, 8, dtype=np.float32).reshape(1, 1, 7)
DILATION = 2


def run(op, kernel, **attributes):
    """The inferred length and the values of the reference evaluator."""
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=[kernel], dilations=[DILATION], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    graph = helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    (y,) = ReferenceEvaluator(model).run(None, {"x": X})
    inferred = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
    print(op, "kernel", kernel, attributes, "inferred", inferred, "values", y.ravel())
    return inferred, y.ravel()


def by_numpy(op, kernel, padding):
    """Means or Euclidean norms over the samples that each window meets."""
    padded = np.pad(X.ravel(), padding, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, DILATION * (kernel - 1) + 1)[:, ::DILATION]
    return np.nanmean(windows, axis=1) if op == "AveragePool" else np.sqrt(np.nansum(windows**2, axis=1))


for op in ("AveragePool", "LpPool"):
    for auto_pad, kernel, padding in (("VALID", 2, 0), ("SAME_UPPER", 3, 2)):
        right = by_numpy(op, kernel, padding)
        inferred, values = run(op, kernel, pads=[padding, padding])
        assert inferred == len(right) and np.allclose(values, right, atol=1e-5)
        inferred, values = run(op, kernel, auto_pad=auto_pad)
        assert inferred == len(right)
        if auto_pad == "VALID":
            assert np.allclose(values, [*right, 0], atol=1e-5)
        else:
            assert np.allclose(values, [*right[1:-1], 0, 0], atol=1e-5)
PYTHON
