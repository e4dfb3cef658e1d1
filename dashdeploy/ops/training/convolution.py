"""Convolutions in training on a CPU: torch's own, or a quicker form of the same sums where one is known.

    taps      the sum over taps t of the products W_t x_t, with x_t the input moved by the tap's distance: k matrix
              products that need no other layout. Torch's way back through dilated series takes twice as long.
    fourier   products of spectra (`dashdeploy.ops.aggconv.fourier` with a single candidate): for many taps.

Which form is taken is counted, not measured, so that a resumed run computes as before: `computation` has the rule. No
gradient, no choice: evaluation is torch's. So is everything on a GPU, in half precision, and with strides or groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dashdeploy.ops.aggconv.cost import Layer, best_tile, direct_cost, fourier_cost
from dashdeploy.ops.aggconv.fourier import fourier
from dashdeploy.ops.aggconv.rates import NARROW, table_for
from dashdeploy.ops.aggconv.taps import TapPlan, tap_plan
from dashdeploy.ops.conv.frame import Frame
from dashdeploy.ops.conv.padded_conv import padded_convolution

Form = Literal["torch", "taps", "fourier"]

DILATED_SPAN = 12
"""Positions that a dilated kernel spans from which torch's way back through it is slow without AVX-512."""

LEAST_SECONDS = 1e-3
"""By count, of a step's part in the layer: of less, calls are most, and torch has the fewest."""

SERIES_SHARE, IMAGE_SHARE, DILATED_IMAGE_SHARE = 0.75, 0.3, 0.7
"""Part of the direct convolution's count that spectra may cost. The count was made for a supernet's dilated kernels;
torch is quicker than it at undilated ones, most of all at images (docs/decisions.md has the measurements)."""


def trained_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: Sequence[tuple[int, int]],
    stride: Sequence[int],
    dilation: int,
    groups: int,
) -> Tensor:
    """`dashdeploy.ops.conv.padded_conv.padded_convolution`, in the form that costs least."""
    form, tile = "torch", 0
    if _may_choose(x, weight, pads, stride, groups):
        kernel, spatial = tuple(weight.shape[2:]), tuple(x.shape[2:])
        form, tile = computation(
            len(x), weight.shape[1], weight.shape[0], spatial, kernel, tuple(pads), dilation
        )
    if form == "torch":
        return padded_convolution(x, weight, bias, pads, stride, dilation, groups)
    if form == "taps":
        y: Tensor = _Taps.apply(x, weight, tuple(pads[0]), dilation)  # type: ignore[no-untyped-call]
    else:
        frame, plan = _plan(spatial, kernel, tuple(pads), dilation)
        candidate = weight.permute(*range(2, weight.dim()), 0, 1).flatten(0, -3)
        y = fourier(x, candidate, x.new_ones(1), plan, frame, 1, tile)
    return y if bias is None else y + bias.view(-1, *[1] * len(pads))


def _may_choose(
    x: Tensor, weight: Tensor, pads: Sequence[tuple[int, int]], stride: Sequence[int], groups: int
) -> bool:
    return (
        torch.is_grad_enabled()
        and (x.requires_grad or weight.requires_grad)
        and x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and groups == 1
        and set(stride) == {1}
        and len(set(weight.shape[2:])) == 1
        and len(set(pads)) == 1
        and x.numel() > 0
    )


@lru_cache(maxsize=1024)
def computation(
    batch: int,
    in_channels: int,
    out_channels: int,
    spatial: tuple[int, ...],
    kernel: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    dilation: int,
) -> tuple[Form, int]:
    """The form of a layer without strides and groups, forward and backward, and the tile length of ``fourier``.

    Args:
        batch: samples.
        in_channels: of the input.
        out_channels: of the output.
        spatial: extents of the input.
        kernel: taps per axis, as many in each.
        pads: zeros before and after each axis; negative ones crop.
        dilation: of all axes.
    """
    frame, plan = _plan(spatial, kernel, pads, dilation)
    if not plan.distances or math.prod(kernel) == 1:
        return "torch", 0
    rates = table_for("cpu")
    layer = Layer(plan, frame, batch, in_channels, out_channels, 1, rates)
    tile = best_tile(layer)
    direct, spectra = direct_cost(layer, len(plan.distances)), fourier_cost(layer, tile)
    if len(spatial) > 1:
        share = DILATED_IMAGE_SHARE if dilation > 1 else IMAGE_SHARE
        return ("fourier", tile) if spectra < share * direct else ("torch", 0)
    dilated = dilation > 1 and dilation * (kernel[0] - 1) >= DILATED_SPAN
    if dilated and rates == NARROW and direct >= LEAST_SECONDS:
        return ("fourier", tile) if spectra < direct else ("taps", 0)
    return ("fourier", tile) if spectra < SERIES_SHARE * direct else ("torch", 0)


@lru_cache(maxsize=1024)
def _plan(
    spatial: tuple[int, ...], kernel: tuple[int, ...], pads: tuple[tuple[int, int], ...], dilation: int
) -> tuple[Frame, TapPlan]:
    """How the outputs sit on the inputs, and the taps that meet more than padding."""
    frame = Frame.padded(pads, dilation * (kernel[0] - 1), (1,) * len(pads))
    return frame, tap_plan((kernel[0],), (dilation,), frame, spatial, torch.device("cpu"))


class _Taps(torch.autograd.Function):
    """The correlation of x [B, in, n] with a weight [out, in, k], tap by tap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pads: tuple[int, int], dilation: int) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, weight)
        ctx.pads, ctx.dilation = pads, dilation
        return _summed(F.pad(x, pads), weight.permute(2, 0, 1).contiguous(), dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        taps, span = weight.shape[2], ctx.dilation * (weight.shape[2] - 1)
        dx = dw = None
        if ctx.needs_input_grad[0]:  # the correlation with the mirrored kernel
            mirrored = weight.permute(2, 1, 0).flip(0).contiguous()
            dx = _summed(F.pad(gradient, [span - pad for pad in ctx.pads]), mirrored, ctx.dilation)
        if ctx.needs_input_grad[1]:
            padded, length = F.pad(x, ctx.pads), gradient.shape[2]
            dw = weight.new_empty(taps, *weight.shape[:2])
            for tap in range(taps):
                moved = padded.narrow(2, tap * ctx.dilation, length)
                torch.sum(torch.bmm(gradient, moved.mT), 0, out=dw[tap])
            dw = dw.permute(1, 2, 0)
        return dx, dw, None, None


def _summed(padded: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """The sum over taps: weight [k, out, in] and padded [B, in, n + dilation (k - 1)], giving [B, out, n]."""
    length = padded.shape[2] - dilation * (len(weight) - 1)
    y = padded.new_empty(len(padded), weight.shape[1], length)
    for tap, matrix in enumerate(weight):
        moved = padded.narrow(2, tap * dilation, length)
        torch.baddbmm(y, matrix.expand(len(padded), -1, -1), moved, beta=int(tap > 0), out=y)
    return y
