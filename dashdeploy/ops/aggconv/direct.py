"""AggConv by direct convolutions: mixed-results, mixed-weights and per-dilation.

The arguments are the same everywhere: x [B, in, *spatial], the weight [taps, out, in / groups] with all candidates'
taps one under the other, the mixing coefficients a [|K||D|], and the result [B, out, *spatial'].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dashdeploy.ops.aggconv.taps import TapBox, TapPlan
from dashdeploy.ops.conv.frame import Frame
from dashdeploy.ops.conv.padded_conv import padded_convolution


def mixed_results(
    x: Tensor,
    weight: Tensor,
    coefficients: Tensor,
    kernel_sizes: Sequence[int],
    dilations: Sequence[int],
    frame: Frame,
    groups: int,
) -> Tensor:
    """Equation 2: the weighted sum of the results of |K||D| convolutions, as in DARTS."""
    rank, spatial = frame.rank, tuple(x.shape[2:])
    candidates = list(itertools.product(kernel_sizes, dilations))
    kernels = torch.split(weight, [k**rank for k, _ in candidates])
    y: Tensor | None = None
    for a, kernel, (k, d) in zip(coefficients, kernels, candidates, strict=True):
        result = a * convolve(x, kernel, [k] * rank, frame.padding(k, d, spatial), frame.stride, d, groups)
        y = result if y is None else y + result
    assert y is not None
    return y


def mixed_weights(
    x: Tensor, weight: Tensor, coefficients: Tensor, plan: TapPlan, frame: Frame, groups: int
) -> Tensor:
    """Equation 3: one convolution with the aggregated kernel."""
    return _boxes(x, weight, coefficients, [plan.whole], frame, groups)


def per_dilation(
    x: Tensor, weight: Tensor, coefficients: Tensor, plan: TapPlan, frame: Frame, groups: int
) -> Tensor:
    """Kernels of one dilation add up to one dilated kernel of max(K) taps: |D| convolutions instead of |K||D|.

    The convolution is linear in its kernel, so this is equation 2 with the sum over K drawn inside.
    """
    return _boxes(x, weight, coefficients, plan.boxes, frame, groups)


def _boxes(
    x: Tensor, weight: Tensor, coefficients: Tensor, boxes: Sequence[TapBox], frame: Frame, groups: int
) -> Tensor:
    y: Tensor | None = None
    for box in boxes:
        kernel = box.taps.aggregate(weight, coefficients)
        pads = frame.pads(box.low, box.shape, box.dilation, tuple(x.shape[2:]))
        result = convolve(x, kernel, box.shape, pads, frame.stride, box.dilation, groups)
        y = result if y is None else y + result
    if y is None:  # every tap is dead: an axis of the input has no position
        nothing = 0 * (weight.sum() * coefficients.sum() * x.sum())  # gradients of zero, not none
        return nothing.expand(x.shape[0], weight.shape[1], *frame.out(tuple(x.shape[2:])))
    return y


def convolve(
    x: Tensor,
    kernel: Tensor,
    shape: Sequence[int],
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int,
    groups: int,
) -> Tensor:
    """Torch's convolution of x with a kernel [taps, out, in / groups] and any padding per side."""
    out, fan_in = kernel.shape[1:]
    weight = kernel.permute(1, 2, 0).reshape(out, fan_in, *shape)
    return padded_convolution(x, weight, None, pads, stride, dilation, groups)
