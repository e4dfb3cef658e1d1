"""Folds zero padding into the convolution behind it: causal networks pad by an operator of its own.

Conv(Pad(x, before, after), pads) = Conv(x, before + pads, after + pads)
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, constant
from dashdeploy.export.passes.base import NodePass, NoMatchError


class FoldPads(NodePass[list[int]]):
    """Conv(Pad(x)) becomes Conv(x) with more padding; the Pad goes where nothing else reads it.

    Needs: constant amounts of zeros, none negative, on spatial axes alone; and nothing but convolutions reads what
    Pad writes (WaveNet's filters and gates read the same).
    """

    operator: ClassVar[str] = "Conv"

    def check(self, node: ir.Node) -> list[int]:
        """The convolution's padding after the fold: before all axes, then after all axes."""
        padded = node.inputs[0]
        pad = padded.producer() if padded is not None else None
        if padded is None or pad is None or pad.op_type != "Pad":
            raise NoMatchError("no Pad stands before it")
        if pad.graph is not node.graph:
            raise NoMatchError("the Pad before it lies in another graph")
        amounts = _zeros_added(pad)
        if not _only_convolutions_read(padded):
            raise NoMatchError("something else than convolutions reads the padded input")
        mode = node.attributes.get("auto_pad")
        if mode is not None and mode.as_string() not in ("NOTSET", "VALID"):
            raise NoMatchError(f"its own padding is automatic: {mode.as_string()}")
        own = node.attributes.get("pads")
        explicit = mode is None or mode.as_string() == "NOTSET"
        known = list(own.as_ints()) if own is not None and explicit else [0] * len(amounts)
        if len(known) != len(amounts):
            raise NoMatchError("Pad and Conv differ in their axes")
        return [a + b for a, b in zip(known, amounts, strict=True)]

    def replace(self, graph: ir.Graph, node: ir.Node, match: list[int], names: UnusedNames) -> None:
        """Give the convolution the padding, and the input of Pad."""
        del names
        padded = node.inputs[0]
        assert padded is not None
        pad = padded.producer()
        assert pad is not None
        node.attributes["pads"] = ir.AttrInt64s("pads", match)
        node.attributes.pop("auto_pad", None)
        node.replace_input_with(0, pad.inputs[0])
        if not padded.uses():
            graph.remove(pad, safe=True)


def _only_convolutions_read(value: ir.Value) -> bool:
    """Whether every use of `value` is the input of a convolution."""
    reads = all(use.node.op_type == "Conv" and use.idx == 0 for use in value.uses())
    return reads and not value.is_graph_output()


def check_adds_zeros(pad: ir.Node) -> None:
    """Go on if a Pad is known to add nothing but zeros.

    Raises:
        NoMatchError: it is of another mode, or of another or an unknown value.
    """
    mode = pad.attributes.get("mode")
    if mode is not None and mode.as_string() != "constant":
        raise NoMatchError(f"the Pad before it is of the mode {mode.as_string()}")
    given = pad.inputs[2] if len(pad.inputs) > 2 else None  # a Pad without a value adds zeros
    if given is not None:
        value = constant(given)
        if value is None or np.any(value.numpy() != 0):
            raise NoMatchError("the Pad before it adds something else than zeros")


def _zeros_added(pad: ir.Node) -> list[int]:
    """Zeros before and after the spatial axes, as a convolution's `pads`."""
    check_adds_zeros(pad)
    inputs = [*pad.inputs, None, None, None][:4]
    amounts = constant(inputs[1])
    if amounts is None or inputs[0] is None:
        raise NoMatchError("the amounts of the Pad before it are not constant")
    flat = [int(amount) for amount in amounts.numpy().reshape(-1)]
    if inputs[3] is not None:
        flat = _of_all_axes(flat, inputs)
    rank = len(flat) // 2
    if rank < 3 or min(flat) < 0 or any(flat[axis] or flat[rank + axis] for axis in (0, 1)):
        raise NoMatchError("the Pad before it crops, or pads batch or channels")
    return [*flat[2:rank], *flat[rank + 2 :]]


def _of_all_axes(amounts: list[int], inputs: list[ir.Value | None]) -> list[int]:
    """The amounts of all axes where Pad names some of them."""
    axes, x = constant(inputs[3]), inputs[0]
    if axes is None or x is None or x.shape is None:
        raise NoMatchError("the axes of the Pad before it are not known")
    rank, named = len(x.shape), [int(axis) for axis in axes.numpy().reshape(-1)]
    every = [0] * (2 * rank)
    for place, axis in enumerate(named):
        every[axis % rank] = amounts[place]
        every[rank + axis % rank] = amounts[len(named) + place]
    return every
