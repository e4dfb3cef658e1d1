"""Puts batch normalization in front of a concatenation of convolutions, where it can be folded into them.

BatchNormalization(Concat(a, b)) = Concat(BatchNormalization(a), BatchNormalization(b)),  along the channels
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, constant, is_operator
from dashdeploy.export.passes.base import NodePass, NoMatchError
from dashdeploy.export.passes.fold_batch_norm import PARAMETERS, is_foldable, refuse_training


class SinkBatchNormThroughConcat(NodePass[list[int]]):
    """The normalization of concatenated convolutions becomes one of each; inception blocks are built that way.

    Needs: a normalization for inference with constant parameters, of a Concat along the channels that nothing else
    reads; and every branch ends in a convolution that `FoldBatchNorm` can take its part into.
    """

    operator: ClassVar[str] = "BatchNormalization"

    def check(self, node: ir.Node) -> list[int]:
        """The channels of every branch."""
        joined = node.inputs[0]
        concat = joined.producer() if joined is not None else None
        if joined is None or concat is None or not is_operator(concat, "Concat"):
            raise NoMatchError("no Concat stands before it")
        if concat.graph is not node.graph:
            raise NoMatchError("the Concat before it lies in another graph")
        axis = concat.attributes.get("axis")
        if axis is None or axis.as_int() != 1:
            raise NoMatchError("the Concat before it is not along the channels")
        if len(joined.uses()) != 1 or joined.is_graph_output():
            raise NoMatchError("something else reads the concatenation")
        refuse_training(node)
        if not all(map(is_foldable, node.inputs[PARAMETERS])):
            raise NoMatchError("its parameters are not constants in float32 or float64")
        return [_channels_of_convolution(value, node.graph) for value in concat.inputs]

    def replace(self, graph: ir.Graph, node: ir.Node, match: list[int], names: UnusedNames) -> None:
        """Write a normalization per branch, and the Concat behind them."""
        joined = node.inputs[0]
        assert joined is not None
        concat = joined.producer()
        assert concat is not None
        bounds = np.cumsum([0, *match])
        parts = []
        for branch, start, stop in zip(concat.inputs, bounds[:-1], bounds[1:], strict=True):
            inputs = [branch, *(_part(graph, value, start, stop, names) for value in node.inputs[PARAMETERS])]
            name = names.give(f"{node.outputs[0].name}/part")
            part = ir.Value(name=name)
            graph.insert_before(
                node, ir.Node("", node.op_type, inputs, node.attributes.values(), name=name, outputs=[part])
            )
            parts.append(part)
        output = node.outputs[0]
        whole = ir.Value(shape=output.shape, type=output.type)
        graph.insert_before(node, ir.Node("", "Concat", parts, concat.attributes.values(), outputs=[whole]))
        ir.convenience.replace_all_uses_with(output, whole, replace_graph_outputs=True)
        whole.name, output.name = output.name, None
        graph.remove([node, concat], safe=True)


def _channels_of_convolution(value: ir.Value | None, graph: object) -> int:
    """Output channels of the convolution in `graph` that writes `value`, if nothing else needs it or its weight."""
    conv = value.producer() if value is not None else None
    if value is None or conv is None or not is_operator(conv, "Conv") or conv.graph is not graph:
        raise NoMatchError("a branch of the Concat does not end in a convolution")
    weight, bias = [*conv.inputs, None][1:3]
    tensor = constant(weight)
    if weight is None or tensor is None or not is_foldable(weight) or len(weight.uses()) != 1:
        raise NoMatchError("a branch's weight is not a constant of its own in float32 or float64")
    if bias is not None and not is_foldable(bias):
        raise NoMatchError("a branch's bias is not a constant in float32 or float64")
    if len(value.uses()) != 1 or value.is_graph_output():
        raise NoMatchError("something else reads a branch")
    channels = tensor.shape[0]
    if not isinstance(channels, int):
        raise NoMatchError("a branch's number of channels is not known")
    return channels


def _part(graph: ir.Graph, value: ir.Value | None, start: int, stop: int, names: UnusedNames) -> ir.Value:
    """The channels from `start` to `stop` of a parameter, as an initializer of its own."""
    tensor = constant(value)
    assert value is not None
    assert tensor is not None
    name = names.give(f"{value.name}/part")
    array = ir.Tensor(np.ascontiguousarray(tensor.numpy()[start:stop]), name=name)
    part = ir.Value(name=name, shape=array.shape, type=ir.TensorType(array.dtype), const_value=array)
    graph.register_initializer(part)
    return part
