#!/usr/bin/env bash
# onnxconverter-common's conversion to half precision cuts weights off at 10 000, where half precision goes to 65 504.
#
# convert_float_to_float16 has max_finite_val=1e4 and min_positive_val=1e-7 by default and clips weights to these, with a warning per
# tensor. Running variances of batch norms, scales of sensor data and frequencies in Hz may be larger, and half precision has them to
# three digits. Numbers below 1e-7 become 1e-7, also where half precision has a nearer one (6e-8, or 0). With max_finite_val=65504 large
# ones stay.
#
# Seen with onnxconverter-common 1.16.0 and onnx 1.23.2, weights 20000, 65000, 3e-8 and -1e-9:
#   default 10000, 10000, 1e-7, -1e-7   numpy 20000, 64992, 6e-8, -0   max_finite_val=65504 20000, 64992
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnxconverter-common==1.16.0' 'onnx==1.23.2' 'numpy==2.4.6' \
  'protobuf==7.36.2' 'packaging==26.4'
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnxconverter_common import float16

weights = np.array([20_000, 65_000, 3e-8, -1e-9], np.float32)


def converted(**options):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "g", [x], [y], [numpy_helper.from_array(weights, "w")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half = float16.convert_float_to_float16(model, **options)
    return numpy_helper.to_array(half.graph.initializer[0])


default, wide, numpys = converted(), converted(max_finite_val=65_504.0), weights.astype(np.float16)
print("default", default, "max_finite_val=65504", wide, "numpy", numpys)
assert default.dtype == np.float16
assert np.array_equal(default, np.array([1e4, 1e4, 1e-7, -1e-7], np.float16))
assert np.array_equal(wide[:2], numpys[:2]) and numpys[1] == 64_992
PYTHON
