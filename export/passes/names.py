"""Names that are new to a graph."""

from __future__ import annotations

import onnx_ir as ir


def value_names(graph: ir.Graph) -> set[str]:
    """Every name that a value has in the graph and its subgraphs; ONNX lets no two values share one."""
    names: set[str] = set()
    for part in (graph, *graph.subgraphs()):
        names.update(str(value.name) for value in (*part.inputs, *part.initializers.values()))
        names.update(str(value.name) for node in part for value in node.outputs)
    return names


def unused(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it if it is taken."""
    unique, count = name, 1
    while unique in taken:
        unique, count = f"{name}#{count}", count + 1
    return unique
