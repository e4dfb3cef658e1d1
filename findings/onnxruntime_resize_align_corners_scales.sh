#!/usr/bin/env bash
# ONNX Runtime's Resize with align_corners and scales lands on the last value whatever the scale; ONNX's test does not.
#
# ONNX takes the length of the output as scale times length, with its fraction. ONNX Runtime takes the rounded one. Four values
# and a scale of 0.6 make 2.4, cut to 2: the second output lies at 3 / 1.4 for ONNX, at 3 for ONNX Runtime. Models with `sizes`
# are not affected, and neither is a scale that gives a whole number.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, linear, input 1 2 3 4; the first line's ONNX values are also those of
# ONNX's stored test test_resize_downsample_scales_linear_align_corners:
#   scale 0.6   ONNX 1 3.1429   ONNX Runtime 1 4
#   scale 0.5   ONNX 1 4        ONNX Runtime 1 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import math

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

X = np.float32([1, 2, 3, 4])


def run(scale):
    """The definition's values, the reference evaluator's and ONNX Runtime's."""
    length = math.floor(len(X) * scale)
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode="align_corners")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, len(X)))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, length))
    scales = numpy_helper.from_array(np.float32([1, scale]), "scales")
    graph = helper.make_graph([node], "g", [x], [y], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    places = np.arange(length) * (len(X) - 1) / (len(X) * scale - 1)
    defined = np.interp(places, np.arange(len(X)), X)
    (reference,) = ReferenceEvaluator(model).run(None, {"x": X[None]})
    (runtime,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X[None]})
    print("scale", scale, "definition", defined, "reference", reference[0], "ONNX Runtime", runtime[0])
    assert np.allclose(reference, defined, atol=1e-5)
    return defined, runtime[0]


defined, runtime = run(0.6)
assert np.allclose(defined, [1, 1 + 3 / 1.4]) and np.allclose(runtime, [1, 4])
defined, runtime = run(0.5)
assert np.allclose(defined, [1, 4]) and np.allclose(runtime, [1, 4])
PYTHON
