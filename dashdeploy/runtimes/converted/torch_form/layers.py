"""Convolutions, pools, normalizations and linear layers of ONNX in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.runtimes.converted.torch_form.node import Node

_EXPLICIT = ("", "NOTSET", "VALID")


def _around(node: Node, rank: int) -> list[tuple[int, int]]:
    """The padding before and behind each axis."""
    if node.get("auto_pad", b"").decode() not in _EXPLICIT:
        raise node.refused(f"its padding is {node.get('auto_pad').decode()}, not explicit")
    pads = list(node.get("pads", [0] * 2 * rank))
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _padded(x: Tensor, around: Sequence[tuple[int, int]], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """The input and the padding that is left to the layer: torch has the same on both sides of an axis only."""
    if all(before == behind for before, behind in around):
        return x, [before for before, _ in around]
    return F.pad(x, [side for pair in reversed(around) for side in pair], value=value), [0] * len(around)


def convolution(node: Node, inputs: Sequence[Any], *, planes: bool = True) -> Tensor:
    """A ``Conv``.

    Args:
        node: the node.
        inputs: input, weights, and maybe a bias.
        planes: whether one along one axis is written as one of planes. Torch's compiler packs the weights of those
            only; its convolution along one axis packs them at each call.
    """
    x, weight = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    rank = x.dim() - 2
    strides, dilations = (list(node.get(name, [1] * rank)) for name in ("strides", "dilations"))
    around = _around(node, rank)
    flat = rank == 1 and planes
    if flat:
        x, weight, around = x.unsqueeze(2), weight.unsqueeze(2), [(0, 0), *around]
        strides, dilations = [1, *strides], [1, *dilations]
    function: Callable[..., Tensor] = {1: F.conv2d if flat else F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    x, padding = _padded(x, around)
    y = function(x, weight, bias, strides, padding, dilations, node.get("group", 1))
    return y.squeeze(2) if flat else y


def _conv_transpose(node: Node, inputs: Sequence[Any]) -> Tensor:
    x, weight = inputs[:2]
    rank = x.dim() - 2
    if node.get("output_shape") is not None:
        raise node.refused("it has an output_shape")
    around = _around(node, rank)
    if any(before != behind for before, behind in around):
        raise node.refused("its padding differs from side to side")
    function: Callable[..., Tensor] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[
        rank
    ]
    return function(
        x,
        weight,
        inputs[2] if len(inputs) > 2 else None,
        list(node.get("strides", [1] * rank)),
        [before for before, _ in around],
        list(node.get("output_padding", [0] * rank)),
        node.get("group", 1),
        list(node.get("dilations", [1] * rank)),
    )


def _max_pool(node: Node, inputs: Sequence[Any]) -> Tensor:
    kernel = list(node.get("kernel_shape"))
    rank = len(kernel)
    if node.outputs > 1 or node.get("ceil_mode", 0):
        raise node.refused("it gives indices, or rounds its size up")
    x, padding = _padded(inputs[0], _around(node, rank), float("-inf"))
    function: Callable[..., Tensor] = F.max_pool1d if rank == 1 else F.max_pool2d
    return function(
        x, kernel, list(node.get("strides", [1] * rank)), padding, list(node.get("dilations", [1] * rank))
    )


def _average_pool(node: Node, inputs: Sequence[Any]) -> Tensor:
    kernel = list(node.get("kernel_shape"))
    rank = len(kernel)
    counted = bool(node.get("count_include_pad", 0))
    around = _around(node, rank)
    uneven = any(before != behind for before, behind in around)
    if (
        node.get("ceil_mode", 0)
        or any(each != 1 for each in node.get("dilations", []))
        or (uneven and not counted)
    ):
        raise node.refused("it rounds its size up, is dilated, or its padding differs from side to side")
    x, padding = _padded(inputs[0], around)
    function: Callable[..., Tensor] = F.avg_pool1d if rank == 1 else F.avg_pool2d
    return function(x, kernel, list(node.get("strides", [1] * rank)), padding, False, counted)


def _global_pool(function: Callable[..., Tensor]) -> Callable[[Node, Sequence[Any]], Tensor]:
    return lambda _node, inputs: function(inputs[0], list(range(2, inputs[0].dim())), True)


def _batch_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, eps=node.get("epsilon", 1e-5))


def _layer_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    axis = node.get("axis", -1) % inputs[0].dim()
    shape = list(inputs[0].shape[axis:])
    if node.outputs > 1:
        raise node.refused("it gives its mean")
    bias = inputs[2] if len(inputs) > 2 else None
    return F.layer_norm(inputs[0], shape, inputs[1], bias, node.get("epsilon", 1e-5))


def _instance_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    y: Tensor = F.instance_norm(inputs[0], weight=inputs[1], bias=inputs[2], eps=node.get("epsilon", 1e-5))
    return y


def _gemm(node: Node, inputs: Sequence[Any]) -> Tensor:
    a = inputs[0].t() if node.get("transA", 0) else inputs[0]
    weight = inputs[1] if node.get("transB", 0) else inputs[1].t()
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    bias = inputs[2] if len(inputs) > 2 else None
    if alpha == beta == 1.0 and (bias is None or bias.dim() == 1):
        return F.linear(a, weight, bias)
    product: Tensor = alpha * torch.matmul(a, weight.t())
    return product if bias is None else product + torch.mul(bias, beta)


LAYERS: Mapping[str, Callable[[Node, Sequence[Any]], Any]] = {
    "Conv": convolution,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_pool(torch.mean),
    "GlobalMaxPool": _global_pool(torch.amax),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "Gemm": _gemm,
}
"""By type."""
