"""What half precision gives on an engine that really rounds.

ONNX Runtime's CPU has few kernels in half precision: it computes in float32 and leaves out the roundings between two
operators, so that it shows neither their errors nor an overflow (beyond 65504). GPUs accumulate products in float32,
too, but round what every operator writes. Here the same is said in float32 with explicit casts.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from dashdeploy.export.passes.names import unused, value_names

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


def with_roundings(model: ir.Model) -> ir.Model:
    """A copy of a model in half precision that computes in float32 and rounds every half value to half.

    Args:
        model: from `fp16.to_fp16`; its inputs and outputs are float32.
    """
    copy = model.clone()
    graph = copy.graph
    taken = value_names(graph)
    for value in graph.initializers.values():
        if value.dtype == _HALF and value.const_value is not None:
            array = value.const_value.numpy().astype(np.float32)
            value.const_value = ir.Tensor(array, name=value.name)
            value.type = ir.TensorType(_FLOAT)
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == _HALF:
                _round(graph, node, value, taken)
    return copy


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value, taken: set[str]) -> None:
    """Behind `node`: to half and back, for everybody who reads `value`."""
    readers = tuple(value.uses())
    rounded, source, after = value, value, node
    for to in (_HALF, _FLOAT):
        name = unused(f"{value.name}.{to.name.lower()}.rounded", taken)
        taken.add(name)
        rounded = ir.Value(name=name, shape=value.shape, type=ir.TensorType(to))
        cast = ir.node("Cast", [source], {"to": int(to)}, outputs=[rounded], name=name)
        graph.insert_after(after, cast)
        source, after = rounded, cast
    for reader, index in readers:
        reader.replace_input_with(index, rounded)
    if node.op_type != "Cast":
        value.type = ir.TensorType(_FLOAT)
