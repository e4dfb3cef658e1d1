"""AggConv, the aggregated convolution of DASH, over one or two spatial axes.

An AggConv mixes every candidate convolution of a search space, kernel sizes K times dilations D, by the
softmax a of its architecture parameters (Shen, Khodak, Talwalkar, NeurIPS 2022, arXiv 2204.07554, equations
1 to 4):

    AggConv(x) = sum over k in K, d in D of  a[k, d] * conv(x, w[k, d], dilation d)  +  bias

Every (k, d) owns its kernel w[k, d]. `dashdeploy.ops.aggconv.methods` has the ways to compute it.

A candidate sits where torch's 'same' padding puts it, or, in a causal convolution, with its last tap where the
original's last tap is; see `dashdeploy.ops.conv.frame.Frame`. Taps that only ever meet padding are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self, cast

import torch
from torch import Tensor, nn

from dashdeploy.ops.aggconv.cost import Choice, Layer, best_tile, cheapest
from dashdeploy.ops.aggconv.direct import mixed_results, mixed_weights, per_dilation
from dashdeploy.ops.aggconv.fourier import fourier
from dashdeploy.ops.aggconv.methods import Method
from dashdeploy.ops.aggconv.rates import Rates, table_for
from dashdeploy.ops.aggconv.taps import TapPlan, tap_plan
from dashdeploy.ops.conv.frame import Frame, frame_of


class AggConv(nn.Module):
    """A convolution whose kernel size and dilation are being searched; see `AggConv1d` and `AggConv2d`.

    Attributes:
        weight: the taps of all candidates, in the order of ``itertools.product(kernel_sizes, dilations)`` and
            row by row within each, [sum of taps, out_channels, in_channels / groups].
        alpha: the architecture parameters, [|K|, |D|].
        bias: one bias for all candidates (the coefficients add up to 1), [out_channels], or None.
        method: the way to compute it.
        frame: stride, padding and alignment.
        mixing: coefficients that replace the softmax of alpha while they are set, [|K||D|]; the search sets
            them to a noisy or tempered softmax for one pass.
        rates: how quick the device is, which ``auto`` chooses by; None takes the table of the input's device.
        choices: what ``auto`` takes instead, by `signature`, where that was measured.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int],
        dilations: Sequence[int],
        *,
        groups: int = 1,
        bias: bool = True,
        method: Method = "auto",
        frame: Frame | None = None,
    ) -> None:
        super().__init__()
        self.kernel_sizes, self.dilations = tuple(kernel_sizes), tuple(dilations)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups, self.method = groups, method
        self.frame = frame or Frame.same(self.rank)
        fan_in = in_channels // groups
        taps = [k**self.rank for k, _ in self.candidates]
        # Each candidate starts as torch would start it alone: uniform within 1 / sqrt(fan-in).
        bounds = torch.cat([torch.full((count,), (fan_in * count) ** -0.5) for count in taps])
        uniform = torch.rand(len(bounds), out_channels, fan_in) * 2 - 1
        self.weight = nn.Parameter(uniform * bounds[:, None, None])
        # Small noise breaks ties, as in the paper's code; the mixture starts as good as uniform.
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(self.kernel_sizes), len(self.dilations)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.mixing: Tensor | None = None
        self.rates: Rates | None = None
        self.choices: Mapping[str, Choice] = {}

    @classmethod
    def replacing(
        cls,
        conv: nn.Conv1d | nn.Conv2d,
        kernel_sizes: Sequence[int],
        dilations: Sequence[int],
        method: Method = "auto",
        *,
        causal: bool = False,
        separable: bool = False,
    ) -> Self:
        """An AggConv that takes the place of `conv`: its channels, groups, bias, stride and output size.

        Args:
            conv: the convolution.
            kernel_sizes: the search space K.
            dilations: the search space D.
            method: the way to compute it.
            causal: whether candidates are aligned at the last tap instead of the middle one.
            separable: whether a dense convolution with as many outputs as inputs is searched depthwise, as
                DASH's released code does.
        """
        groups, equal = conv.groups, conv.in_channels == conv.out_channels
        agg_conv = cls(
            conv.in_channels,
            conv.out_channels,
            kernel_sizes,
            dilations,
            groups=conv.in_channels if separable and equal else groups,
            bias=conv.bias is not None,
            method=method,
            frame=frame_of(conv, causal=causal),
        )
        if agg_conv.bias is not None:
            agg_conv.bias.data.copy_(cast(Tensor, conv.bias).data)
        return agg_conv.to(conv.weight.device, conv.weight.dtype)

    @property
    def candidates(self) -> list[tuple[int, int]]:
        """Every (kernel size, dilation), in the order of the mixing coefficients."""
        return list(itertools.product(self.kernel_sizes, self.dilations))

    def coefficients(self) -> Tensor:
        """The mixing coefficients: softmax of the architecture parameters over all candidates, [|K||D|]."""
        return self.alpha.flatten().softmax(0)

    def best(self) -> tuple[int, int]:
        """The kernel size and the dilation with the largest architecture parameter."""
        return self.candidates[int(self.alpha.argmax())]

    def forward(self, x: Tensor) -> Tensor:
        """Mix all candidates' results for x [B, in_channels, *spatial], giving [B, out_channels, *spatial']."""
        a = self.coefficients() if self.mixing is None else self.mixing
        y = self._mixed(x, a)
        return y if self.bias is None else y + self.bias.to(y.dtype).view(-1, *[1] * self.rank)

    def computation(self, plan: TapPlan, batch: int, device: torch.device) -> tuple[Method, int]:
        """How a batch is mixed: the method, and the tile length of ``fourier`` (0: the input in one piece).

        Args:
            plan: of the taps, which knows the extents of the input.
            batch: samples.
            device: that computes, where the layer has no `rates` of its own.
        """
        if self.method == "auto" and self.choices:
            known = self.choices.get(self.signature(plan.spatial, batch))
            if known is not None:
                return known
        rates = self.rates or table_for(device.type)
        layer = Layer(plan, self.frame, batch, self.in_channels, self.out_channels, self.groups, rates)
        if self.method == "auto":
            return cheapest(layer)
        return self.method, best_tile(layer) if self.method == "fourier" else 0

    def signature(self, spatial: tuple[int, ...], batch: int) -> str:
        """What decides how long its computations take, in a line: equal for equal layers, and for no others.

        Args:
            spatial: extents of the input.
            batch: samples.
        """
        channels = f"{self.in_channels}>{self.out_channels}/{self.groups}"
        space = f"K{','.join(map(str, self.kernel_sizes))} D{','.join(map(str, self.dilations))}"
        return f"{channels} {space} n{','.join(map(str, spatial))} b{batch} {self.frame}"

    def _mixed(self, x: Tensor, a: Tensor) -> Tensor:
        weight, frame, groups = self.weight, self.frame, self.groups
        if self.method == "mixed-results":
            return mixed_results(x, weight, a, self.kernel_sizes, self.dilations, frame, groups)
        plan = tap_plan(self.kernel_sizes, self.dilations, frame, tuple(x.shape[2:]), x.device)
        method, tile = self.computation(plan, len(x), x.device)
        if method == "mixed-weights":
            return mixed_weights(x, weight, a, plan, frame, groups)
        if method == "per-dilation":
            return per_dilation(x, weight, a, plan, frame, groups)
        # Spectra lose too much in half precision, and neither FFTs nor their sums exist in it everywhere.
        with torch.autocast(x.device.type, enabled=False):
            wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
            y = fourier(wide, weight.to(wide.dtype), a.to(wide.dtype), plan, frame, groups, tile)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, K={self.kernel_sizes}, D={self.dilations}, "
            f"groups={self.groups}, stride={self.frame.stride}, causal={self.frame.causal}, method={self.method}"
        )


class AggConv1d(AggConv):
    """An AggConv over series, [B, in_channels, n]; every candidate has k taps."""

    rank = 1


class AggConv2d(AggConv):
    """An AggConv over images, [B, in_channels, h, w]; every candidate has k x k taps and one dilation."""

    rank = 2
