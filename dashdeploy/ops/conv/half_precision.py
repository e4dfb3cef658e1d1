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
from torch.autograd.graph import saved_tensors_hooks

TOLERANCE = 0.05
"""Of the largest result. Rounding leaves some thousandths, and what was found wrong differs by more than 0.8."""
SAMPLES = 2
"""On which a shape is tried."""

_CAST = (torch.float32, torch.bfloat16, torch.float16)  # what autocast casts


def is_computed_in_half(x: Tensor) -> bool:
    """Whether autocast computes a convolution of x in half precision on the CPU."""
    return x.device.type == "cpu" and x.dtype in _CAST and torch.is_autocast_enabled("cpu")


def is_right(
    in_half: Callable[..., Tensor],
    in_float32: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int,
    groups: int,
) -> bool:
    """Whether two forms of a convolution agree for arguments like these, its gradients included where they are taken.

    It is tried on two samples at most: what is wrong is so for channels and taps, whatever the batch.

    Args:
        in_half: what autocast computes in half precision; takes x, weight, a bias, and all the others.
        in_float32: the same in float32.
        x: only its extents and layout count.
        weight: only its shape counts.
        pads: before and after each axis.
        stride: per axis.
        dilation: of all axes.
        groups: of channels.
    """
    shape = (min(len(x), SAMPLES), *x.shape[1:])
    gradients, dtype = torch.is_grad_enabled(), torch.get_autocast_dtype("cpu")
    how = (tuple(pads), tuple(stride), dilation, groups)
    return _agrees(in_half, in_float32, shape, tuple(weight.shape), x.is_contiguous(), gradients, dtype, how)


@lru_cache(maxsize=4096)
def _agrees(
    in_half: Callable[..., Tensor],
    in_float32: Callable[..., Tensor],
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    is_contiguous: bool,
    gradients: bool,
    dtype: torch.dtype,
    how: tuple[object, ...],
) -> bool:
    generator = torch.Generator().manual_seed(0)

    def random(shape: Sequence[int]) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    def results(convolution: Callable[..., Tensor]) -> list[Tensor]:
        # The caller's autocast must not keep copies of these numbers, nor its hooks see what is saved here.
        autocast = torch.autocast("cpu", dtype, cache_enabled=False)
        with autocast, torch.set_grad_enabled(gradients), saved_tensors_hooks(_as_it_is, _as_it_is):
            leaves = [each.float().requires_grad_(gradients) for each in (x, weight)]
            y = convolution(*leaves, None, *how)
            if not gradients:
                return [y]
            direction = torch.linspace(-1, 1, y.numel()).view(y.shape).to(dtype)
            return [y.detach(), *torch.autograd.grad(y, leaves, direction.to(y.dtype))]

    x, weight = random(shape), random(weight_shape)
    if not is_contiguous:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    return all(
        bool((mine.float() - exact).abs().max() <= TOLERANCE * exact.abs().max())
        for exact, mine in zip(results(in_float32), results(in_half), strict=True)
        if exact.numel()
    )


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
