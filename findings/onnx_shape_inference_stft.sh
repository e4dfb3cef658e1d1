#!/usr/bin/env bash
# onnx.shape_inference gives an STFT without the attribute onesided the number of bins of a two-sided one.
#
# The default of onesided is 1, and then a frame of 16 samples has 9 bins. Written out, the same value gives 9. The wrong number
# stands in the saved model, from where tools take it.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, 128 samples, frames of 16 with a step of 8:
#   onesided left out  inferred 15 x 16   computed 15 x 9
#   onesided = 1       inferred 15 x 9    computed 15 x 9
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

X = np.random.default_rng(0).standard_normal((1, 128, 1)).astype(np.float32)


def run(**attributes):
    """The inferred shape, checked against those that ONNX Runtime and the reference evaluator compute."""
    constants = {"step": np.int64(8), "length": np.int64(16)}
    node = helper.make_node("STFT", ["x", "step", "", "length"], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model)
    inferred = tuple(size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim)
    (here,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    (there,) = ReferenceEvaluator(model).run(None, {"x": X})
    print(attributes, "inferred", inferred, "ONNX Runtime", here.shape, "ReferenceEvaluator", there.shape)
    assert here.shape == there.shape == (1, 15, 9, 2)
    return inferred


assert onnx.defs.get_schema("STFT", 17).attributes["onesided"].default_value.i == 1
assert run() == (1, 15, 16, 2)
assert run(onesided=1) == (1, 15, 9, 2)
PYTHON
