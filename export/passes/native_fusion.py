"""Writes convolutions, with what follows them, as nodes of the native kernels.

    Conv -> Relu                     FusedConv(activation=relu)
    Conv -> Add(other) -> Relu       FusedConv(added=other, activation=relu)
    Conv -> Relu -> Add(other)       FusedConv(added=other, activation=relu_sum)
    ... -> Relu                      the same with relu_sum_relu

Batch norms were folded before. Of a sum of two convolutions, the later one takes the other's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from dashdeploy.export.frontend.convolutions import Convolution, find_convolutions
from dashdeploy.export.frontend.graph_values import constant, is_operator
from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim, trim_weight
from dashdeploy.export.passes.base import GraphPass
from dashdeploy.runtimes.native.graph_file import DOMAIN, DOMAIN_VERSION, FUSED_CONV


@dataclass(frozen=True)
class NativeChoice:
    """How a native kernel computes a convolution.

    Attributes:
        algorithm: ``direct``, ``fft`` or ``depthwise``.
        tile: of the FFT, per spatial axis; empty otherwise.
    """

    algorithm: str
    tile: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """``fft(tile=48)`` or the algorithm's name."""
        return f"{self.algorithm}(tile={'x'.join(map(str, self.tile))})" if self.tile else self.algorithm


class FuseNative(GraphPass):
    """Conv with its sum and its ReLU becomes one FusedConv of the native domain.

    Needs: shapes were inferred; the main graph alone. `unmatched` names the convolutions that stay ONNX's.

    Args:
        choices: by layer name; layers that are not named stay as they are.
    """

    def __init__(self, choices: Mapping[str, NativeChoice]) -> None:
        super().__init__()
        self._choices = choices

    def rewrite(self, model: ir.Model) -> bool:
        """Fuse the convolutions that are named."""
        fused: set[ir.Node] = set()
        for convolution in find_convolutions(model):
            choice = self._choices.get(convolution.name)
            if choice is None or convolution.spec is None or convolution.node.graph is not model.graph:
                self.leave(convolution.name, convolution.obstacle or "no native kernel was chosen")
                continue
            fused.add(_replace(model.graph, convolution, convolution.spec, choice))
        for node in model.graph:
            if is_operator(node, "Add"):
                _fuse_sum(model.graph, node, fused)
            elif is_operator(node, "Relu"):
                _fuse_relu(model.graph, node, fused)
        if fused:
            model.graph.opset_imports[DOMAIN] = DOMAIN_VERSION
        return bool(fused)


def _replace(graph: ir.Graph, convolution: Convolution, spec: ConvSpec, choice: NativeChoice) -> ir.Node:
    """Write the convolution itself, without its dead taps."""
    node, living = convolution.node, trim(spec)
    weight = trim_weight(spec, convolution.weight)
    old = node.inputs[1]
    assert old is not None
    inputs = [
        node.inputs[0],
        old
        if living == spec and old.is_initializer()
        else _initializer(graph, f"{convolution.name}.taps", weight),
        node.inputs[2] if len(node.inputs) > 2 else None,
        None,
    ]
    attributes = [
        ir.AttrInt64s("strides", living.strides),
        ir.AttrInt64s("dilations", living.dilations),
        ir.AttrInt64s("pads", (*living.pads_begin, *living.pads_end)),
        ir.AttrInt64("group", living.groups),
        ir.AttrString("activation", "none"),
        ir.AttrString("algorithm", choice.algorithm),
    ]
    if choice.tile:
        attributes.append(ir.AttrInt64s("tile", choice.tile))
    new = ir.Node(DOMAIN, FUSED_CONV, inputs, attributes, name=convolution.name)
    _take_over(graph, node, node.outputs[0], new)
    return new


def _take_over(graph: ir.Graph, node: ir.Node, old: ir.Value, new: ir.Node) -> None:
    """Put `new` where `node` stands, for everybody who reads `old`."""
    value = new.outputs[0]
    value.shape, value.type = old.shape, old.type
    graph.insert_before(node, new)
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    value.name, old.name = old.name, None
    graph.remove(node, safe=True)


def _fuse_sum(graph: ir.Graph, node: ir.Node, fused: set[ir.Node]) -> None:
    total = node.outputs[0]
    for this, other in ((1, 0), (0, 1)):
        value, added = node.inputs[this], node.inputs[other]
        conv = _fused_conv(value, fused)
        if (
            conv is None
            or conv.inputs[3] is not None
            or added is None
            or added is value
            or constant(added) is not None
        ):
            continue
        if added.shape is None or total.shape is None or list(added.shape) != list(total.shape):
            continue
        before = conv.attributes["activation"].as_string() == "relu"
        _move(graph, node, conv, fused, [*conv.inputs[:3], added], "relu_sum" if before else "none")
        return


def _fuse_relu(graph: ir.Graph, node: ir.Node, fused: set[ir.Node]) -> None:
    conv = _fused_conv(node.inputs[0], fused)
    after = {"none": "relu", "relu_sum": "relu_sum_relu"}
    if conv is not None and (activation := conv.attributes["activation"].as_string()) in after:
        _move(graph, node, conv, fused, list(conv.inputs), after[activation])


def _fused_conv(value: ir.Value | None, fused: set[ir.Node]) -> ir.Node | None:
    """The fused convolution that gives a value to one reader alone."""
    conv = value.producer() if value is not None else None
    if (
        value is None
        or conv is None
        or conv not in fused
        or len(value.uses()) != 1
        or value.is_graph_output()
    ):
        return None
    return conv


def _move(
    graph: ir.Graph,
    node: ir.Node,
    conv: ir.Node,
    fused: set[ir.Node],
    inputs: list[ir.Value | None],
    activation: str,
) -> None:
    """Write the convolution again in the place of what follows it."""
    attributes = [each for each in conv.attributes.values() if each.name != "activation"]
    attributes.append(ir.AttrString("activation", activation))
    new = ir.Node(DOMAIN, FUSED_CONV, inputs, attributes, name=conv.name)
    _take_over(graph, node, node.outputs[0], new)
    graph.remove(conv, safe=True)
    fused.remove(conv)
    fused.add(new)


def _initializer(graph: ir.Graph, name: str, array: Weights) -> ir.Value:
    while name in graph.initializers:
        name += "'"
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value
