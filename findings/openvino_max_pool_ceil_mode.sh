#!/usr/bin/env bash
# A MaxPool with ceil_mode=1 whose last window would start in the padding: three tools, two shapes, and -3.4e38 as a value.
#
# ONNX Runtime (as torch) drops a window that starts beyond the input and its left padding. onnx's shape inference
# and OpenVINO keep it; OpenVINO fills it with the lowest float32, which the next layer then reads.
#
# Seen with onnx 1.23.2, onnxruntime 1.31.1, openvino 2026.4.1, kernel 2, stride 3, length 6: onnx infers 3 outputs, ONNX
# Runtime gives 2 (4 and 8), OpenVINO 3 (4, 8 and -3.4028235e+38).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'openvino==2026.4.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

X = np.float32([[[1, 4, 9, 5, 8, 7]]])
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[3], ceil_mode=1)
graph = helper.make_graph([pool], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.shape
onnx.save(model, "pool.onnx")
(here,) = onnxruntime.InferenceSession("pool.onnx").run(None, {"x": X})
there = openvino.compile_model("pool.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]
print("onnx infers", inferred.dim[2].dim_value, "ONNX Runtime", here.ravel(), "OpenVINO", there.ravel())
assert inferred.dim[2].dim_value == 3
assert here.ravel().tolist() == [4, 8]
assert there.ravel().tolist() == [4, 8, float(np.finfo(np.float32).min)]
PYTHON
