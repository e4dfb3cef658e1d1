#!/usr/bin/env bash
# onnxslim takes a factor for each position behind a Conv as one for each channel, where there are as many positions as channels.
#
# A Mul by a vector works along the last axis: a window over time, say. onnxslim folds it into the weights of the Conv or ConvTranspose, whose
# first axis are the channels. It looks at the number of values alone. A factor for each channel is right, and an Add is left as it is.
#
# Seen with onnxslim 0.1.98, onnx 1.23.2 and onnxruntime 1.31.1, two channels of two ones, times 10 20:
#   ONNX Runtime 10 20 and 10 20   after onnxslim 10 10 and 20 20
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'onnxslim==0.1.98' 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper


def compare(operator, weights, factors):
    shape = (1, 1, 2)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2, 2))
    nodes = [helper.make_node(operator, ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "f"], ["y"])]
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(factors, "f")]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    slim = onnxslim.slim(onnx.ModelProto.FromString(model.SerializeToString()))
    ones = {"x": np.ones(shape, np.float32)}
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, ones)[0][0] for each in (model, slim)
    )
    print(operator, factors.shape, "before", before.tolist(), "after", after.tolist(), [n.op_type for n in slim.graph.node])
    assert np.allclose(before, np.ones((2, 2)) * factors)
    return before.tolist(), after.tolist()


window = np.float32([10, 20])
conv = np.ones((2, 1, 1), np.float32)
for operator, weights in (("Conv", conv), ("ConvTranspose", conv.reshape(1, 2, 1))):
    for factors in (window, window.reshape(1, 1, 2)):
        before, after = compare(operator, weights, factors)
        assert before == [[10, 20], [10, 20]] and after == [[10, 10], [20, 20]]
before, after = compare("Conv", conv, window.reshape(1, 2, 1))
assert before == after == [[10, 10], [20, 20]]
PYTHON
