"""Whether convolutions in half precision on this CPU give what they should.

oneDNN 3.12 (torch 2.13) gives other numbers for some shapes on processors with AMX: in bfloat16, eight or twelve
channels, such as an ECG has, and a kernel of eight taps. So each shape is computed once in either precision, on
numbers drawn at random, before it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

TOLERANCE = 0.05
"""Of the largest result. Rounding leaves some thousandths, and what was found wrong differs by more than 0.9."""


def is_computed_in_half(x: Tensor) -> bool:
    """Whether autocast computes a convolution of x in half precision on the CPU."""
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def is_right(
    convolution: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int,
    groups: int,
) -> bool:
    """Whether `convolution` of arguments like these agrees with float32, its gradients included where they are taken.

    Args:
        convolution: with the arguments of `dashdeploy.ops.conv.padded_conv.padded_convolution`; the result may depend
            on the shapes, and on the layout of x.
        x: only its shape and layout count.
        weight: only its shape counts.
        pads: before and after each axis.
        stride: per axis.
        dilation: of all axes.
        groups: of channels.
    """
    gradients = torch.is_grad_enabled()
    layout = x.is_contiguous()
    shapes = tuple(x.shape), tuple(weight.shape)
    how = tuple(pads), tuple(stride), dilation, groups
    return _agrees(convolution, *shapes, layout, gradients, torch.get_autocast_dtype("cpu"), *how)


@lru_cache(maxsize=4096)
def _agrees(
    convolution: Callable[..., Tensor],
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    is_contiguous: bool,
    gradients: bool,
    dtype: torch.dtype,
    pads: tuple[tuple[int, int], ...],
    stride: tuple[int, ...],
    dilation: int,
    groups: int,
) -> bool:
    generator = torch.Generator().manual_seed(0)

    def random(shape: Sequence[int]) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    x, weight = random(shape), random(weight_shape)
    if not is_contiguous:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    results = []
    for precise in (True, False):
        with torch.autocast("cpu", dtype, enabled=not precise), torch.set_grad_enabled(gradients):
            leaves = [each.float().requires_grad_(gradients) for each in (x, weight)]
            y = convolution(*leaves, None, pads, stride, dilation, groups)
        if not gradients:
            results.append([y])
            continue
        if precise:
            direction = random(y.shape)
        results.append([y.detach(), *torch.autograd.grad(y, leaves, direction.to(y.dtype))])
    return all(
        bool((mine.float() - exact).abs().max() <= TOLERANCE * exact.abs().max())
        for exact, mine in zip(*results, strict=True)
        if exact.numel()
    )
