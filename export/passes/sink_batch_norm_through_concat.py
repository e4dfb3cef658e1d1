"""Puts batch normalization in front of a concatenation of convolutions, where it can be folded into them.

    BatchNormalization(Concat(a, b)) = Concat(BatchNormalization(a), BatchNormalization(b)),  along the channels

Inception blocks normalize what their branches give together. Only where every branch ends in a convolution that
nothing else reads, so that `fold_batch_norms` takes all the parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from dashdeploy.export.passes.constants import constant
from dashdeploy.export.passes.fold_batch_norm import FOLDED_TYPES
from dashdeploy.export.passes.names import unused, value_names

_PARAMETERS = slice(1, 5)
"""Scale, shift, mean and variance among a batch normalization's inputs."""


def split_norms(graph: ir.Graph) -> int:
    """Split every batch normalization of concatenated convolutions into one of each; returns how many."""
    split, taken = 0, value_names(graph)
    for norm in graph:  # an onnx_ir graph may be changed while it is walked
        widths = _widths(graph, norm)
        if widths:
            _split(graph, norm, widths, taken)
            split += 1
    return split


def _widths(graph: ir.Graph, norm: ir.Node) -> list[int]:
    """The channels of every branch; empty where the normalization has to stay."""
    joined = norm.inputs[0] if _is(norm, "BatchNormalization") and len(norm.outputs) == 1 else None
    concat = joined.producer() if joined is not None else None
    if joined is None or concat is None or not _is(concat, "Concat") or concat.graph is not graph:
        return []
    axis = concat.attributes.get("axis")
    if axis is None or axis.as_int() != 1 or len(joined.uses()) != 1 or joined.is_graph_output():
        return []
    training = norm.attributes.get("training_mode")
    if (training is not None and training.as_int() != 0) or not all(map(_folds, norm.inputs[_PARAMETERS])):
        return []
    widths = [_channels_of_convolution(value) for value in concat.inputs]
    return [] if None in widths else [width for width in widths if width is not None]


def _channels_of_convolution(value: ir.Value | None) -> int | None:
    """Output channels of the convolution that writes `value`, if nothing else needs it or its weight."""
    conv = value.producer() if value is not None else None
    if value is None or conv is None or not _is(conv, "Conv"):
        return None
    weight, bias = [*conv.inputs, None][1:3]
    tensor = constant(weight)
    if weight is None or tensor is None or len(weight.uses()) != 1 or not _folds(weight):
        return None
    if (bias is not None and not _folds(bias)) or len(value.uses()) != 1 or value.is_graph_output():
        return None
    channels = tensor.shape[0]
    return channels if isinstance(channels, int) else None


def _folds(value: ir.Value | None) -> bool:
    """Whether it is a constant of a type that is folded."""
    tensor = constant(value)
    return tensor is not None and tensor.dtype in FOLDED_TYPES


def _split(graph: ir.Graph, norm: ir.Node, widths: Sequence[int], taken: set[str]) -> None:
    joined = norm.inputs[0]
    assert joined is not None
    concat = joined.producer()
    assert concat is not None
    bounds = np.cumsum([0, *widths])
    parts = []
    for branch, start, stop in zip(concat.inputs, bounds[:-1], bounds[1:], strict=True):
        inputs = [branch, *(_part(graph, value, start, stop, taken) for value in norm.inputs[_PARAMETERS])]
        name = unused(f"{norm.outputs[0].name}/part", taken)
        taken.add(name)
        part = ir.Value(name=name)
        graph.insert_before(
            norm, ir.Node("", norm.op_type, inputs, norm.attributes.values(), name=name, outputs=[part])
        )
        parts.append(part)
    output = norm.outputs[0]
    whole = ir.Value(shape=output.shape, type=output.type)
    graph.insert_before(norm, ir.Node("", "Concat", parts, concat.attributes.values(), outputs=[whole]))
    ir.convenience.replace_all_uses_with(output, whole, replace_graph_outputs=True)
    whole.name, output.name = output.name, None
    graph.remove([norm, concat], safe=True)


def _part(graph: ir.Graph, value: ir.Value | None, start: int, stop: int, taken: set[str]) -> ir.Value:
    """The channels from `start` to `stop` of a parameter, as an initializer of its own."""
    tensor = constant(value)
    assert value is not None
    assert tensor is not None
    name = unused(f"{value.name}/part", taken)
    taken.add(name)
    array = ir.Tensor(np.ascontiguousarray(tensor.numpy()[start:stop]), name=name)
    part = ir.Value(name=name, shape=array.shape, type=ir.TensorType(array.dtype), const_value=array)
    graph.register_initializer(part)
    return part


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in ("", "ai.onnx")
