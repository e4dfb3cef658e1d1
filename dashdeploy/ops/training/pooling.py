"""The mean over all positions, with a gradient that is not written out position by position."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mean_of_positions(x: Tensor, *, training: bool) -> Tensor:
    """The mean of x [B, C, *spatial] over its positions, [B, C].

    Torch writes the gradient out with the channels first, whatever the layout of x; where x has them last
    (`dashdeploy.ops.conv.channels_last`), a ReLU in front then takes eight times as long.

    Args:
        x: with one position or more.
        training: whether gradients will be taken; without, this is torch's own mean, which exporters know.
    """
    if not training:
        return x.mean(tuple(range(2, x.dim())))
    mean: Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        ctx.shape = x.shape
        return x.mean(tuple(range(2, x.dim())))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        shape: torch.Size = ctx.shape
        each = gradient / math.prod(shape[2:])
        return each.view(*each.shape, *[1] * (len(shape) - 2)).expand(shape)
