"""What half precision gives on an engine that really rounds.

ONNX Runtime's CPU has few kernels in half precision: it computes in float32 and leaves out the roundings between two
operators, so that it shows neither their errors nor an overflow (beyond 65504). GPUs accumulate products in float32,
too, but round what every operator writes. Here the same is said in float32 with explicit casts.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, value_names
from dashdeploy.export.passes.base import GraphPass

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


class SimulateFp16(GraphPass):
    """Operators compute in float32, and every value that was half is rounded to half.

    Needs: a model of `ConvertToFp16`, whose inputs and outputs are float32.
    """

    def rewrite(self, model: ir.Model) -> bool:
        """Widen the constants, and put two casts behind every half value."""
        graph = model.graph
        modified, names = False, UnusedNames(value_names(graph))
        for value in graph.initializers.values():
            if value.dtype == _HALF and value.const_value is not None:
                array = value.const_value.numpy().astype(np.float32)
                value.const_value = ir.Tensor(array, name=value.name)
                value.type = ir.TensorType(_FLOAT)
                modified = True
        for node in list(graph):
            for value in node.outputs:
                if value.dtype == _HALF and (value.uses() or value.is_graph_output()):
                    _round(graph, node, value, names)
                    modified = True
                elif value.dtype == _HALF and node.op_type != "Cast":
                    value.type = ir.TensorType(_FLOAT)  # nobody reads it, and its node computes in float32
        return modified


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value, names: UnusedNames) -> None:
    """Behind `node`: to half and back, for everybody who reads `value`."""
    readers = tuple(value.uses())
    rounded, source, after = value, value, node
    for to in (_HALF, _FLOAT):
        name = names.give(f"{value.name}.{to.name.lower()}.rounded")
        rounded = ir.Value(name=name, shape=value.shape, type=ir.TensorType(to))
        cast = ir.node("Cast", [source], {"to": int(to)}, outputs=[rounded], name=name)
        graph.insert_after(after, cast)
        source, after = rounded, cast
    for reader, index in readers:
        reader.replace_input_with(index, rounded)
    if node.op_type != "Cast":
        value.type = ir.TensorType(_FLOAT)
