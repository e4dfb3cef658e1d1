"""Finds the convolutions of an ONNX graph and reads what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.automatic_padding import SAME, automatic_padding, same_pads
from dashdeploy.export.frontend.graph_values import UnusedNames, constant, graphs_of, is_operator
from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec


@dataclass(frozen=True)
class Convolution:
    """One Conv node.

    Attributes:
        node: the node.
        name: a readable name that is unique in the graph.
        spec: what it computes; None if `obstacle` says why that is not known.
        obstacle: why the layer stays as it is, whatever the lowering.
    """

    node: ir.Node
    name: str
    spec: ConvSpec | None
    obstacle: str | None

    @property
    def weight(self) -> Weights:
        """[out_channels, in_channels / groups, *kernel]."""
        return _constant(self.node.inputs[1])

    @property
    def bias(self) -> Weights | None:
        """[out_channels], or None."""
        return _constant(self.node.inputs[2]) if _has_bias(self.node) else None


class _UnreadableError(Exception):
    """A property of a convolution is not known before run time."""


def find_convolutions(model: ir.Model) -> list[Convolution]:
    """Every Conv node of a model: the main graph's, in order, then those in bodies of control flow.

    Shapes must have been inferred.
    """
    found: list[Convolution] = []
    names = UnusedNames(set())
    for node in [node for graph in graphs_of(model) for node in graph]:
        if not is_operator(node, "Conv"):
            continue
        name = names.give(_name(node))
        try:
            found.append(Convolution(node, name, _read(node), None))
        except _UnreadableError as obstacle:
            found.append(Convolution(node, name, None, str(obstacle)))
    return found


def _read(node: ir.Node) -> ConvSpec:
    x, weight = node.inputs[0], node.inputs[1]
    if x is None or constant(weight) is None:
        raise _UnreadableError("the weight is not a constant of the model")
    if _has_bias(node) and constant(node.inputs[2]) is None:
        raise _UnreadableError("the bias is not a constant of the model")
    table = _constant(weight)
    if not np.isfinite(table).all():
        raise _UnreadableError("the weight holds infinities or not-a-numbers")
    spatial = _static_spatial(x)
    rank = len(spatial)
    if 0 in (*table.shape, *spatial):
        raise _UnreadableError("an axis of the input or of the weight has the length 0")
    kernel = tuple(int(size) for size in table.shape[2:])
    groups = _integer(node, "group", 1)
    strides = _integers(node, "strides", [1] * rank)
    dilations = _integers(node, "dilations", [1] * rank)
    begin, end = _padding(node, spatial, kernel, strides, dilations)
    return ConvSpec(
        in_channels=table.shape[1] * groups,
        out_channels=table.shape[0],
        groups=groups,
        spatial=spatial,
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        pads_begin=begin,
        pads_end=end,
        bias=_has_bias(node),
        dtype=str(table.dtype),
    )


def _static_spatial(x: ir.Value) -> tuple[int, ...]:
    if x.shape is None:
        raise _UnreadableError(
            "the input's shape is not known; fix the model's input with `input_shapes=NAME=1,C,N`"
        )
    spatial = [x.shape[axis] for axis in range(2, len(x.shape))]
    if not all(isinstance(size, int) for size in spatial):
        raise _UnreadableError("the spatial size is dynamic; fix it with `input_shapes=NAME=1,C,N`")
    return tuple(int(size) for size in spatial if isinstance(size, int))


def _padding(
    node: ir.Node,
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The explicit pads, with `auto_pad` resolved as the ONNX operator's documentation defines it."""
    mode, rank = automatic_padding(node), len(spatial)
    if mode == "VALID":
        return (0,) * rank, (0,) * rank
    if mode in SAME:
        axes = [same_pads(mode, *axis) for axis in zip(spatial, kernel, strides, dilations, strict=True)]
        if any(sum(pads) < 0 for pads in axes):  # ONNX Runtime crops the input then, other engines do not
            raise _UnreadableError(f"auto_pad {mode} with a stride that leaves out inputs: engines disagree")
        return tuple(begin for begin, _ in axes), tuple(end for _, end in axes)
    pads = _integers(node, "pads", [0] * (2 * rank))
    return pads[:rank], pads[rank:]


def _name(node: ir.Node) -> str:
    """The weight's name without its ending, as training frameworks name layers; else the node's own."""
    weight = node.inputs[1].name if node.inputs[1] is not None else None
    return (weight or "").removesuffix(".weight") or node.name or "conv"


def _has_bias(node: ir.Node) -> bool:
    return len(node.inputs) > 2 and node.inputs[2] is not None


def _constant(value: ir.Value | None) -> Weights:
    tensor = constant(value)
    assert tensor is not None
    return tensor.numpy()


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _integers(node: ir.Node, name: str, default: Sequence[int]) -> tuple[int, ...]:
    attribute = node.attributes.get(name)
    return tuple(default if attribute is None else attribute.as_ints())
