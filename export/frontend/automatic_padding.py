"""Automatic padding: ``auto_pad`` of convolutions and poolings as numbers.

The ONNX operators' documentation: SAME_UPPER and SAME_LOWER pad so that there are ceil(n / stride) outputs, and an
odd padding has its larger half at the end or at the beginning. torch's TorchScript exporter writes them for
``padding="same"``. ONNX Runtime does not run them together with dilation, so such models get explicit pads here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.graph_values import is_operator

SAME = ("SAME_UPPER", "SAME_LOWER")

_WEIGHT_INPUT: Mapping[str, int | None] = {
    "Conv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "MaxPool": None,
    "AveragePool": None,
    "LpPool": None,
}
"""The operators that may have both, and which input holds the kernel."""


def automatic_padding(node: ir.Node) -> str:
    """The mode of a node: NOTSET, VALID, SAME_UPPER or SAME_LOWER."""
    attribute = node.attributes.get("auto_pad")
    return "NOTSET" if attribute is None else attribute.as_string()


def same_pads(mode: str, n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The padding of one axis in a mode of `SAME`; negative where the operator would crop.

    Args:
        mode: SAME_UPPER or SAME_LOWER.
        n: the axis's length; with stride 1 the result does not depend on it.
        kernel: taps.
        stride: of the outputs.
        dilation: of the taps.

    Returns:
        Positions before and behind the input.
    """
    total = (-(-n // stride) - 1) * stride + dilation * (kernel - 1) + 1 - n
    small, large = total // 2, total - total // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def with_explicit_pads(model: ir.Model) -> ir.Model | None:
    """A copy of `model` with explicit pads wherever ``auto_pad`` meets dilation; None if that is nowhere.

    Raises:
        InputError: the pads depend on a length that is not fixed.
    """
    if not any(map(_cannot_run, _nodes(model))):
        return None
    padded = model.clone()
    ShapeInferencePass(strict_mode=False)(padded)
    for node in _nodes(padded):
        if _cannot_run(node):
            _write_pads(node)
    return padded


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def _cannot_run(node: ir.Node) -> bool:
    if not any(is_operator(node, name) for name in _WEIGHT_INPUT):
        return False
    return automatic_padding(node) in SAME and any(size > 1 for size in _integers(node, "dilations"))


def _write_pads(node: ir.Node) -> None:
    mode, kernel, dilations = automatic_padding(node), _kernel(node), _integers(node, "dilations")
    strides = _integers(node, "strides") or [1] * len(kernel)
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    begin, end = [], []
    for axis, (k, s, d) in enumerate(zip(kernel, strides, dilations, strict=True)):
        n = None if shape is None else shape[axis + 2]
        if s == 1:
            n = 1  # any length gives the same
        if not isinstance(n, int):
            raise InputError(
                f"{node.op_type} {node.name!r} has auto_pad {mode} with dilation and stride {s}, which needs a fixed "
                "length; fix the model's input with `input_shapes=NAME=1,C,N`"
            )
        before, behind = same_pads(mode, n, k, s, d)
        if before + behind < 0:
            raise InputError(
                f"{node.op_type} {node.name!r} has auto_pad {mode} with a stride that leaves out inputs, on which "
                "engines disagree; export the model with explicit pads"
            )
        begin.append(before)
        end.append(behind)
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", [*begin, *end])


def _kernel(node: ir.Node) -> Sequence[int]:
    kernel = _integers(node, "kernel_shape")
    place = _WEIGHT_INPUT[node.op_type]
    if kernel or place is None:
        return kernel
    weight = node.inputs[place]
    sizes = [] if weight is None or weight.shape is None else list(weight.shape)[2:]
    if not sizes or not all(isinstance(size, int) for size in sizes):
        raise InputError(
            f"{node.op_type} {node.name!r} has auto_pad {automatic_padding(node)} with dilation and a kernel of "
            "unknown size; export the model with explicit pads"
        )
    return [int(size) for size in sizes if isinstance(size, int)]


def _integers(node: ir.Node, name: str) -> list[int]:
    attribute = node.attributes.get(name)
    return [] if attribute is None else [int(value) for value in attribute.as_ints()]
