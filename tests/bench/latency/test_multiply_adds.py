"""Multiply-adds of a graph."""

import onnx
from onnx import TensorProto, helper

from dashdeploy.bench.latency.multiply_adds import count_onnx


def test_multiply_adds_are_counted(tmp_path):
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 20])]
    out = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 6, 3])]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [6, 2, 5], [0.0] * 60),
        helper.make_tensor("m", TensorProto.FLOAT, [16, 3], [0.0] * 48),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=2),
        helper.make_node("MatMul", ["y", "m"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "graph", values, out, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    assert count_onnx(tmp_path / "model.onnx") == 6 * 16 * 2 * 5 + 6 * 3 * 16
