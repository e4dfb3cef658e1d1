"""Relu as Max with zero, for an engine whose Relu decides number by number."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, is_operator
from dashdeploy.export.passes.base import NodePass, NoMatchError
from dashdeploy.export.passes.rows_operators import register


class ReluAsMaximum(NodePass[ir.DataType]):
    """y = Relu(x) -> y = Max(x, 0), in float32.

    A Relu that alone reads a Conv stays, since engines compute both at once. `unmatched` names those that stay.
    """

    operator: ClassVar[str] = "Relu"

    def check(self, node: ir.Node) -> ir.DataType:
        """The type of the numbers."""
        x = node.inputs[0]
        assert x is not None
        producer = x.producer()
        alone = len(x.uses()) == 1 and not x.is_graph_output()
        if producer is not None and is_operator(producer, "Conv") and alone:
            raise NoMatchError("the engine computes it with the Conv in front of it")
        dtype = x.dtype or node.outputs[0].dtype
        if dtype != ir.DataType.FLOAT:
            raise NoMatchError(f"the type of its numbers is {dtype}")
        return dtype

    def replace(self, graph: ir.Graph, node: ir.Node, match: ir.DataType, names: UnusedNames) -> None:
        """Write the Max under the name of the Relu."""
        zero = register(graph, names, f"{node.name}/zero", np.zeros((), dtype=match.numpy()))
        (old,) = node.outputs
        new = ir.Value(name=None, shape=old.shape, type=old.type)
        maximum = ir.Node("", "Max", [node.inputs[0], zero], outputs=[new], name=node.name)
        ir.convenience.replace_nodes_and_values(graph, node, [node], [maximum], [old], [new])
