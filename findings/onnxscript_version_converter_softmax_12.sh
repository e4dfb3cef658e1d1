#!/usr/bin/env bash
# onnxscript's version converter calls a model of opset 12 one of opset 18 and changes nothing in it.
#
# Softmax of opset 12 flattens all axes from `axis` on into one; from opset 13 on it takes `axis` alone. The converted model
# passes the checker and computes something else. convert_version raises nothing; fallback=True would use onnx's C++ converter.
#
# Seen with onnxscript 0.7.2, onnx-ir 1.1.0 and onnxruntime 1.31.1: Softmax over axis 1 of zeros [1, 2, 4] gives 1/8 before and 1/2
# after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' 'onnxscript==0.7.2' 'onnx-ir==1.1.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnx_ir
import onnxruntime
import onnxscript.version_converter
from onnx import TensorProto, helper

X = np.zeros((1, 2, 4), np.float32)
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=1)], "g", [x], [y])
before = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
model = onnx_ir.from_proto(before)
onnxscript.version_converter.convert_version(model, 18)
after = onnx_ir.to_proto(model)
onnx.checker.check_model(after, full_check=True)
first, second = (
    onnxruntime.InferenceSession(each.SerializeToString()).run(None, {"x": X})[0] for each in (before, after)
)
print("opset", after.opset_import[0].version, "nodes", [node.op_type for node in after.graph.node])
print("before", first.ravel(), "after", second.ravel())
assert after.opset_import[0].version == 18
assert list(after.graph.node) == list(before.graph.node)
assert np.allclose(first, 1 / 8) and np.allclose(second, 1 / 2)
PYTHON
