#!/usr/bin/env bash
# ONNX's reference evaluator ignores sequence_lens and clip of RNN, GRU and LSTM.
#
# A shorter sequence of the batch runs on through what is behind its end, so that its last state is that of the padding. A
# clip, the bound of what enters an activation, has no effect. No warning says so.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1, two sequences with 3 and 1 steps, and a clip of 0.25: only ONNX Runtime
# keeps to them. Without either, both agree.
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

STEPS, LENGTHS = 3, np.int32([3, 1])


def run(op, gates, *, lengths=False, **attributes):
    """Outputs of each step and last states, of ONNX Runtime and of the reference evaluator, with one hidden value."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    weights = {"w": draw(1, gates, 1), "r": draw(1, gates, 1), "b": draw(1, 2 * gates)}
    feed = {"x": 2 * draw(STEPS, 2, 1)}
    if lengths:
        weights["lengths"] = LENGTHS
    node = helper.make_node(op, ["x", *weights], ["y", "h"], hidden_size=1, **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (STEPS, 2, 1))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (STEPS, 1, 2, 1))
    h = helper.make_tensor_value_info("h", TensorProto.FLOAT, (1, 2, 1))
    graph = helper.make_graph([node], "g", [x], [y, h], [numpy_helper.from_array(v, k) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    here = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    there = ReferenceEvaluator(model).run(None, feed)
    return [each.reshape(-1, 2) for each in (*here, *there)]


for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
    free, free_last, there, there_last = run(op, gates)
    assert np.allclose(free, there, atol=1e-5) and np.allclose(free_last, there_last, atol=1e-5)

    here, here_last, there, there_last = run(op, gates, lengths=True)
    print(op, "last state of one step: ONNX Runtime", here_last[0, 1], "ReferenceEvaluator", there_last[0, 1])
    assert np.array_equal(here[1:, 1], [0, 0]) and np.isclose(here_last[0, 1], free[0, 1], atol=1e-5)
    assert np.allclose(there, free, atol=1e-5) and np.allclose(there_last, free_last, atol=1e-5)

    here, here_last, there, _ = run(op, gates, clip=0.25)
    print(op, "largest output with a clip: ONNX Runtime", np.abs(here).max(), "ReferenceEvaluator", np.abs(there).max())
    assert np.allclose(there, free, atol=1e-5)
    assert not np.allclose(here, free, atol=1e-2)
    if op == "RNN":
        assert np.abs(here).max() < np.tanh(0.25) + 1e-6 < np.abs(there).max()
PYTHON
