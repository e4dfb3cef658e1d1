#!/usr/bin/env bash
# OpenVINO ignores three attributes of an ONNX Resize: antialias, exclude_outside and keep_aspect_ratio_policy.
#
# The first two change the values, the third the shape of the output. None of them is refused.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.31.1 on the CPU in f32:
#   antialias=1, linear, 4 x 4 to 2 x 2            ONNX Runtime 4.125 5.875 11.125 12.875   OpenVINO 3.5 5.5 11.5 13.5
#   exclude_outside=1, cubic, 4 x 4 to 8 x 8       ONNX Runtime 0.5588 first                OpenVINO 0.6484
#   keep_aspect_ratio_policy, 2 x 4 into 6 x 8     ONNX Runtime 4 x 8                       OpenVINO 6 x 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' 'openvino==2026.4.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper


def run(node, given, shape, constants, opset):
    """The answers of ONNX Runtime and OpenVINO."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, given.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    (here,) = onnxruntime.InferenceSession("model.onnx").run(None, {"x": given})
    return here, openvino.compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": given})[0]


X = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)


def resize(given, constants, shape, **attributes):
    names = ["x", "", "scales"] if "scales" in constants else ["x", "", "", "sizes"]
    return run(helper.make_node("Resize", names, ["y"], **attributes), given, shape, constants, 18)


half, twice = ({"scales": np.float32([1, 1, scale, scale])} for scale in (0.5, 2))
here, there = resize(X, half, [1, 1, 2, 2], mode="linear", antialias=1)
_, without = resize(X, half, [1, 1, 2, 2], mode="linear")
print("antialias: ONNX Runtime", here.ravel(), "OpenVINO", there.ravel())
assert np.allclose(here.ravel(), [4.125, 5.875, 11.125, 12.875])
assert np.allclose(there.ravel(), [3.5, 5.5, 11.5, 13.5]) and np.array_equal(there, without)

here, there = resize(X, twice, [1, 1, 8, 8], mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
_, without = resize(X, twice, [1, 1, 8, 8], mode="cubic", cubic_coeff_a=-0.5)
print("exclude_outside: ONNX Runtime", here.ravel()[:3], "OpenVINO", there.ravel()[:3])
assert np.isclose(here.ravel()[0], 0.55882, atol=1e-4)
assert np.isclose(there.ravel()[0], 0.64844, atol=1e-4) and np.array_equal(there, without)

sizes = {"sizes": np.int64([6, 8])}
here, there = resize(
    X.reshape(1, 1, 2, 8)[..., :4], sizes, [1, 1, "h", "w"], axes=[2, 3], keep_aspect_ratio_policy="not_larger"
)
print("keep_aspect_ratio_policy: ONNX Runtime", here.shape, "OpenVINO", there.shape)
assert here.shape == (1, 1, 4, 8) and there.shape == (1, 1, 6, 8)
PYTHON
