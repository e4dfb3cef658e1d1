#!/usr/bin/env bash
# tract runs an RNN, GRU or LSTM with direction=reverse forwards.
#
# The answer is exactly that of direction=forward. The second half of direction=bidirectional is right.
#
# Seen with tract 0.23.9 and onnxruntime 1.31.1, LSTM of one unit, input 1 -1 0.5, weights 1, recurrent weights 0.5:
#   forward  ONNX Runtime 0.3696 -0.0109 0.1593   tract 0.3696 -0.0109 0.1593
#   reverse  ONNX Runtime 0.3117 -0.0355 0.1743   tract 0.3696 -0.0109 0.1593
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6' 'tract==0.23.9'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import tract
from onnx import TensorProto, helper, numpy_helper

X = np.float32([1, -1, 0.5]).reshape(3, 1, 1)


def run(operator, gates, direction):
    """The answers of ONNX Runtime and tract, [steps, directions]."""
    directions = 2 if direction == "bidirectional" else 1
    weights = {"w": np.ones((directions, gates, 1), np.float32), "r": np.full((directions, gates, 1), 0.5, np.float32)}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, directions, 1, 1])
    node = helper.make_node(operator, ["x", "w", "r"], ["y"], hidden_size=1, direction=direction)
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y], initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    (here,) = onnxruntime.InferenceSession("model.onnx").run(None, {"x": X})
    there = tract.onnx().load("model.onnx").into_model().into_runnable().run([X])[0].to_numpy()
    print(operator, direction, "ONNX Runtime", here.ravel(), "tract", there.ravel())
    return here[:, :, 0, 0], there[:, :, 0, 0]


for operator, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    forward, same = run(operator, gates, "forward")
    assert np.allclose(forward, same, atol=1e-5)
    reverse, seen = run(operator, gates, "reverse")
    assert np.allclose(seen, forward, atol=1e-5)
    assert not np.allclose(seen, reverse, atol=1e-2)
    both, same = run(operator, gates, "bidirectional")
    assert np.allclose(both, same, atol=1e-5) and np.allclose(both[:, 1:], reverse, atol=1e-5)
PYTHON
