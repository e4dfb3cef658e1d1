#!/usr/bin/env bash
# onnx.version_converter turns a valid Pad of doubles or half floats (opset up to 10) into an invalid model.
#
# From opset 11 on the value to pad with is an input of the type of the data. The converter writes it as a float32
# constant, whatever the type is; onnx.checker passes the result, and ONNX Runtime refuses it.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1: float32 is converted right; of float64 and float16, which run before,
# the converted model does not load ("Type parameter (T) of Optype (Pad) bound to different types").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

for name, kind, right in (("float32", TensorProto.FLOAT, True), ("float64", TensorProto.DOUBLE, False),
                          ("float16", TensorProto.FLOAT16, False)):
    x, y = helper.make_tensor_value_info("x", kind, [2, 3]), helper.make_tensor_value_info("y", kind, [2, 5])
    pad = helper.make_node("Pad", ["x"], ["y"], pads=[0, 1, 0, 1], mode="constant", value=0.0)
    original = helper.make_model(
        helper.make_graph([pad], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 10)], ir_version=5
    )
    converted = version_converter.convert_version(original, 13)
    onnx.checker.check_model(converted)
    answers = []
    for model in (original, converted):
        try:
            onnxruntime.InferenceSession(model.SerializeToString())
            answers.append("loads")
        except Exception as error:
            answers.append(str(error).splitlines()[0])
    print(name, "opset 10:", answers[0], "| opset 13:", answers[1])
    assert (answers[1] == "loads") is right
    assert right or "bound to different types" in answers[1]
PYTHON
