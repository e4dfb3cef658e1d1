"""Keeps a Pad of zeros and the MaxPool behind it apart, which ONNX Runtime merges into another function.

The zeros of a Pad are greater than negative numbers; what a MaxPool pads by itself never counts. ONNX Runtime merges
the two nonetheless (see ``findings/onnxruntime_pad_before_max_pool.sh``). A Max with minus infinity changes
no number, and nothing is merged across it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, is_operator
from dashdeploy.export.passes.base import NodePass, NoMatchError
from dashdeploy.export.passes.fold_pads import check_adds_zeros
from dashdeploy.export.passes.rows_operators import register

NEVER_NEGATIVE = ("Relu", "Sigmoid", "Softmax", "Abs", "Sqrt", "Exp")
"""Operators behind which zeros win against nothing, so that merging does no harm."""
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class PadApartFromMaxPool(NodePass[ir.DataType]):
    """y = MaxPool(Pad(x, zeros)) -> y = MaxPool(Max(Pad(x, zeros), -inf))."""

    operator: ClassVar[str] = "MaxPool"

    def check(self, node: ir.Node) -> ir.DataType:
        """The type of the numbers."""
        padded = node.inputs[0]
        assert padded is not None
        pad = padded.producer()
        if pad is None or not is_operator(pad, "Pad"):
            raise NoMatchError("no Pad stands before it")
        check_adds_zeros(pad)
        x = pad.inputs[0]
        source = None if x is None else x.producer()
        if source is not None and any(is_operator(source, each) for each in NEVER_NEGATIVE):
            raise NoMatchError(f"{source.op_type} gives nothing negative")
        dtype = padded.dtype or (None if x is None else x.dtype) or node.outputs[0].dtype
        if dtype not in FLOATS:
            raise NoMatchError(f"the type of its numbers is {dtype}")
        return dtype

    def replace(self, graph: ir.Graph, node: ir.Node, match: ir.DataType, names: UnusedNames) -> None:
        """Write the Max between the two."""
        padded = node.inputs[0]
        assert padded is not None
        least = register(graph, names, f"{node.name}/least", np.array(-np.inf, dtype=match.numpy()))
        apart = ir.Value(name=None, shape=padded.shape, type=padded.type)
        maximum = ir.Node("", "Max", [padded, least], outputs=[apart], name=f"{node.name}/apart")
        graph.insert_before(node, maximum)
        node.replace_input_with(0, apart)
