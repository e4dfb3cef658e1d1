#!/usr/bin/env bash
# onnxscript's optimizer merges two Clips without a common value into one with the other result.
#
# Behind a clip to -1..2, one to 3..4 gives 3 always. The optimizer takes the greater minimum and the lesser maximum, 3 and 2, and ONNX
# defines a Clip whose minimum is above its maximum as the maximum: 2 always. torch.onnx.export (torch 2.13.0) runs this optimizer by default.
#
# Seen with onnxscript 0.7.2, onnx 1.23.2 and onnxruntime 1.31.1, input -5 0 5: before 3 3 3, after 2 2 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'onnxscript==0.7.2' 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer

X = np.float32([-5, 0, 5])


def compare(first, second):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    nodes = [helper.make_node("Clip", ["x", "a", "b"], ["z"]), helper.make_node("Clip", ["z", "c", "d"], ["y"])]
    bounds = [numpy_helper.from_array(np.float32(v), n) for n, v in zip("abcd", (*first, *second), strict=True)]
    graph = helper.make_graph(nodes, "g", [x], [y], bounds)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    off = onnxruntime.SessionOptions()
    off.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    optimized = optimizer.optimize(onnx.ModelProto.FromString(model.SerializeToString()))
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString(), off).run(None, {"x": X})[0].tolist()
        for each in (model, optimized)
    )
    print(first, second, "before", before, "after", after, [node.op_type for node in optimized.graph.node])
    assert before == np.clip(np.clip(X, *first), *second).tolist()
    return before, after


before, after = compare((-1, 2), (0, 4))
assert before == after == [0, 0, 2]
before, after = compare((-1, 2), (3, 4))
assert before == [3, 3, 3] and after == [2, 2, 2]
PYTHON
