"""Convolutions that pad each side by itself, where torch cannot say it: causal ones, strided even ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from dashdeploy.ops.conv.channels_last import as_image, prefers_channels_last
from dashdeploy.ops.conv.frame import frame_of
from dashdeploy.ops.conv.half_precision import is_computed_in_half, is_right

CONVOLUTIONS: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d)
"""By rank, from 1 up."""


class PaddedConv1d(nn.Conv1d):
    """An ``nn.Conv1d`` that pads (or, where negative, crops) each side first; its padding is in `sides`."""

    sides: list[int]

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to [B, out_channels, m]."""
        return super().forward(F.pad(x, self.sides))


class PaddedConv2d(nn.Conv2d):
    """The same for images."""

    sides: list[int]

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, h, w] to [B, out_channels, h', w']."""
        return super().forward(F.pad(x, self.sides))


def padded_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int,
    groups: int,
) -> Tensor:
    """Torch's convolution of x with a weight [out, in / groups, *shape], with any padding, or cropping, per side.

    Under autocast on a CPU the result, and the gradient of x, mostly have their channels last in memory; where half
    precision gives wrong numbers, float32 computes.
    """
    how = (pads, stride, dilation, groups)
    if not is_computed_in_half(x) or x.dim() != weight.dim():
        return _convolved(x, weight, bias, *how)
    in_half = _with_channels_last if prefers_channels_last(x, weight, groups) else _convolved
    if is_right(in_half, _in_float32, x, weight, *how):
        return in_half(x, weight, bias, *how)
    return _in_float32(x, weight, bias, *how)


def _with_channels_last(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int,
    groups: int,
) -> Tensor:
    image = as_image(x.to(torch.get_autocast_dtype("cpu")))
    if len(pads) == 2:
        return _convolved(image, weight, bias, pads, stride, dilation, groups)
    y = _convolved(image, weight.unsqueeze(2), bias, [(0, 0), *pads], (1, *stride), (1, dilation), groups)
    return as_image(y).squeeze(2)  # of one input channel, oneDNN makes another layout


def _in_float32(x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:  # noqa: ANN401
    """`_convolved`, whose other arguments these are."""
    with torch.autocast("cpu", enabled=False):
        return _convolved(x.float(), weight.float(), None if bias is None else bias.float(), *how)


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int | tuple[int, ...],
    groups: int,
) -> Tensor:
    convolution = CONVOLUTIONS[len(pads) - 1]
    if all(before == after >= 0 for before, after in pads):
        inside = tuple(before for before, _ in pads)
        return convolution(x, weight, bias, tuple(stride), inside, dilation, groups)
    # Padded first and cropped then: what is cropped may be padding too.
    x = F.pad(x, [max(side, 0) for pair in reversed(pads) for side in pair])
    for axis, (before, after) in enumerate(pads, start=2):
        if before < 0 or after < 0:
            x = x.narrow(axis, max(-before, 0), x.shape[axis] - max(-before, 0) - max(-after, 0))
    return convolution(x, weight, bias, tuple(stride), 0, dilation, groups)


def with_kernel(
    conv: nn.Conv1d | nn.Conv2d, kernel_size: int, dilation: int, *, causal: bool = False
) -> nn.Module:
    """A convolution in the place of `conv` with another kernel, new weights and the same output size.

    It is a plain ``nn.Conv1d`` or ``nn.Conv2d`` wherever torch has the padding for it. Weight norm is kept.

    Args:
        conv: the original.
        kernel_size: taps per axis.
        dilation: distance between taps.
        causal: whether kernels are aligned at the last tap instead of the middle one.
    """
    frame, rank = frame_of(conv, causal=causal), len(conv.kernel_size)
    before = [frame.anchor(kernel_size, dilation) - shift for shift in frame.shift]
    span = dilation * (kernel_size - 1)
    sides = [(b, growth + span - b) for b, growth in zip(before, frame.growth, strict=True)]
    centered = not causal and not any(frame.growth) and not any(frame.shift)
    padding: str | tuple[int, ...] = (0,) * rank
    cls: Any = nn.Conv1d if rank == 1 else nn.Conv2d
    if centered and set(frame.stride) == {1}:
        padding = "same"
    elif all(b == a >= 0 for b, a in sides):
        padding = tuple(b for b, _ in sides)
    else:
        cls = PaddedConv1d if rank == 1 else PaddedConv2d
    made: nn.Module = cls(
        conv.in_channels,
        conv.out_channels,
        (kernel_size,) * rank,
        stride=frame.stride,
        dilation=(dilation,) * rank,
        padding=padding,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    if isinstance(made, (PaddedConv1d, PaddedConv2d)):
        made.sides = [side for pair in reversed(sides) for side in pair]
    return parametrizations.weight_norm(made) if has_weight_norm(conv) else made


def has_weight_norm(conv: nn.Module) -> bool:
    """Whether torch's weight norm, the present or the old one, is applied to `conv`."""
    chain = getattr(getattr(conv, "parametrizations", None), "weight", [])
    return hasattr(conv, "weight_g") or any(type(each).__name__ == "_WeightNorm" for each in chain)
