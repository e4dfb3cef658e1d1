#!/usr/bin/env bash
# ONNX Runtime takes a Pow of any exponent for a square where the nodes around it are those of a layer normalization.
#
# The nodes x - mean, Pow, ReduceMean, Add, Sqrt, Div, Mul and Add become one LayerNormalization, and the exponent is not looked at. With 4, a
# normalization by the root of the fourth moment becomes one by the standard deviation. The same nodes without the mean, which
# become an RMS normalization, are merged for the exponent 2 alone.
#
# Seen with onnx 1.23.2 and onnxruntime 1.31.1 on the CPU, input 0 0 0 4, exponent 4, scale 1, no shift:
#   specification, all optimizations off  -0.218 -0.218 -0.218 0.655   default  -0.577 -0.577 -0.577 1.732
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

X = np.float32([[0, 0, 0, 4]])


def compare(exponent):
    constants = {"p": np.float32(exponent), "e": np.float32(1e-5), "g": np.ones(4, np.float32), "b": np.zeros(4, np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[-1]),
        helper.make_node("Sub", ["x", "mean"], ["d"]),
        helper.make_node("Pow", ["d", "p"], ["power"]),
        helper.make_node("ReduceMean", ["power"], ["moment"], axes=[-1]),
        helper.make_node("Add", ["moment", "e"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["root"]),
        helper.make_node("Div", ["d", "root"], ["n"]),
        helper.make_node("Mul", ["n", "g"], ["scaled"]),
        helper.make_node("Add", ["scaled", "b"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in "xy")
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    results = []
    for level in (onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, None):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if level is not None:
            options.graph_optimization_level = level
        options.optimized_model_filepath = "optimized.onnx"
        results.append(onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": X})[0])
    merged = [node.op_type for node in onnx.load("optimized.onnx").graph.node]
    off, default = results
    print("exponent", exponent, "off", off.round(3), "default", default.round(3), merged)
    deviation = X - X.mean()
    assert np.allclose(off, deviation / np.sqrt((deviation**exponent).mean() + 1e-5), atol=1e-4)
    assert merged == ["LayerNormalization"]
    assert np.allclose(default, deviation / X.std(), atol=1e-4)
    return np.allclose(off, default, atol=1e-4)


assert compare(2)
assert not compare(4)
PYTHON
