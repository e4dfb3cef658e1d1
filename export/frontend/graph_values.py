"""The values of an ONNX graph: which are constant, and names that none of them has."""

from __future__ import annotations

import onnx_ir as ir


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor of a constant value, or None.

    An initializer that is also an input of the graph is a default that the model's user may replace: not
    constant.
    """
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)


def is_operator(node: ir.Node, op_type: str) -> bool:
    """Whether a node is the operator `op_type` of ONNX's own domain."""
    return node.op_type == op_type and node.domain in ("", "ai.onnx")


def graphs_of(model: ir.Model) -> list[ir.Graph]:
    """The main graph, then the bodies of control flow, each once."""
    return [
        model.graph,
        *dict.fromkeys(graph for graph in model.graph.subgraphs() if isinstance(graph, ir.Graph)),
    ]


def value_names(graph: ir.Graph) -> set[str]:
    """Every name that a value has in the graph and its subgraphs; ONNX lets no two values share one."""
    names: set[str] = set()
    for part in (graph, *graph.subgraphs()):
        names.update(str(value.name) for value in (*part.inputs, *part.initializers.values()))
        names.update(str(value.name) for node in part for value in node.outputs)
    return names


class UnusedNames:
    """Gives names that are not taken, each once.

    Args:
        taken: the names to stay clear of, such as those of `value_names`.
    """

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)

    def give(self, wanted: str) -> str:
        """`wanted`, or with a number behind it if it is taken."""
        unique, count = wanted, 1
        while unique in self._taken:
            unique, count = f"{wanted}#{count}", count + 1
        self._taken.add(unique)
        return unique
