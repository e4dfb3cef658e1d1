"""Folds zero padding into the convolution behind it: causal networks pad by an operator of its own.

    Conv(Pad(x, before, after), pads) = Conv(x, before + pads, after + pads)

Only constant zeros on spatial axes, only where nothing but convolutions reads what Pad writes (WaveNet's filters and
gates read the same), and never a negative amount.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from dashdeploy.export.passes.constants import constant


def fold_pads(graph: ir.Graph) -> int:
    """Fold every Pad that only adds zeros before convolutions; returns how many convolutions took one in."""
    folded = 0
    for conv in graph:  # an onnx_ir graph may be changed while it is walked
        padded = conv.inputs[0] if conv.op_type == "Conv" and conv.domain in ("", "ai.onnx") else None
        pad = padded.producer() if padded is not None else None
        if padded is None or pad is None or pad.op_type != "Pad" or pad.graph is not graph:
            continue
        amounts = _zeros_added(pad)
        mode = conv.attributes.get("auto_pad")
        if (
            amounts is None
            or not _only_convolutions_read(padded)
            or (mode is not None and mode.as_string() not in ("NOTSET", "VALID"))
        ):
            continue
        own = conv.attributes.get("pads")
        explicit = mode is None or mode.as_string() == "NOTSET"
        known = list(own.as_ints()) if own is not None and explicit else [0] * len(amounts)
        if len(known) != len(amounts):
            continue
        conv.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(known, amounts, strict=True)])
        conv.attributes.pop("auto_pad", None)
        conv.replace_input_with(0, pad.inputs[0])
        folded += 1
        if not padded.uses():
            graph.remove(pad, safe=True)
    return folded


def _only_convolutions_read(value: ir.Value) -> bool:
    """Whether every use of `value` is the input of a convolution."""
    reads = all(use.node.op_type == "Conv" and use.idx == 0 for use in value.uses())
    return reads and not value.is_graph_output()


def _zeros_added(pad: ir.Node) -> list[int] | None:
    """Zeros before and after the spatial axes, as a convolution's `pads`; None for any other padding."""
    mode = pad.attributes.get("mode")
    inputs = [*pad.inputs, None, None, None][:4]
    amounts = constant(inputs[1])
    if (mode is not None and mode.as_string() != "constant") or amounts is None or inputs[0] is None:
        return None
    if inputs[2] is not None:
        value = constant(inputs[2])
        if value is None or np.any(value.numpy() != 0):
            return None
    flat = [int(amount) for amount in amounts.numpy().reshape(-1)]
    if inputs[3] is not None:
        flat = _of_all_axes(flat, inputs)
    rank = len(flat) // 2
    if rank < 3 or min(flat) < 0 or any(flat[axis] or flat[rank + axis] for axis in (0, 1)):
        return None
    return [*flat[2:rank], *flat[rank + 2 :]]


def _of_all_axes(amounts: list[int], inputs: list[ir.Value | None]) -> list[int]:
    """The amounts of all axes where Pad names some of them; empty if that is not known."""
    axes, x = constant(inputs[3]), inputs[0]
    if axes is None or x is None or x.shape is None:
        return [-1]
    rank, named = len(x.shape), [int(axis) for axis in axes.numpy().reshape(-1)]
    every = [0] * (2 * rank)
    for place, axis in enumerate(named):
        every[axis % rank] = amounts[place]
        every[rank + axis % rank] = amounts[len(named) + place]
    return every
