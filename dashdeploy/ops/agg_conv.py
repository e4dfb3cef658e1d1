"""AggConv, the aggregated convolution of DASH, over one spatial axis.

An AggConv mixes every candidate convolution of a search space, kernel sizes K times dilations D, by the
softmax a of its architecture parameters (Shen, Khodak, Talwalkar, NeurIPS 2022, arXiv 2204.07554, equations
1 to 4):

    AggConv(x) = sum over k in K, d in D of  a[k, d] * conv(x, w[k, d], dilation d, padding 'same')  +  bias

Every (k, d) owns its kernel w[k, d]. Three ways compute the same function:

    mixed-results  (eq. 2)  |K||D| convolutions, then their weighted sum, as in DARTS
    mixed-weights  (eq. 3)  one convolution with the aggregated kernel  sum a[k, d] w[k, d]
    fourier        (eq. 4)  the same, with the convolution as a product of spectra

Tap t of a candidate reads the input at a distance of ``t d - floor(d (k - 1) / 2)``: torch's 'same'
convention, which for an even total padding is centred and otherwise pads one more on the right. A tap whose
distance is at least the input's length n only ever multiplies padding, so it is left out; what remains lies
within 1 - n .. n - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, Self, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Method = Literal["fourier", "mixed-weights", "mixed-results"]
METHODS: tuple[str, ...] = get_args(Method)

# Up to this length a dense DFT matrix in one BLAS call is quicker than many short FFTs and their transposes:
# 19 ms against 37 ms a training step at length 80, equal at 320 (64 channels, batch 128, one core).
LONGEST_DENSE_DFT = 256


def same_padding(kernel_size: int, dilation: int) -> tuple[int, int]:
    """Zeros that torch's ``padding='same'`` puts on the left and on the right at stride 1."""
    total = dilation * (kernel_size - 1)
    return total // 2, total - total // 2


@cache
def smooth_length(least: int) -> int:
    """The smallest length of at least `least` whose only prime factors are 2, 3 and 5: a quick FFT."""
    length = max(least, 1)
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


@dataclass(frozen=True)
class TapPlan:
    """Where the taps of all candidates fall in the aggregated kernel, for one input length.

    Attributes:
        kept: rows of the weight that can meet the input, [kept taps].
        candidate: for each kept tap, its candidate's index in K x D (dilation fastest), [kept taps].
        distance: for each kept tap, how far right of the output it reads, [kept taps].
        crops: whether some tap was left out.
        left: the farthest that any kept tap reads to the left.
        right: the farthest that any kept tap reads to the right.
    """

    kept: Tensor
    candidate: Tensor
    distance: Tensor
    crops: bool
    left: int
    right: int


@lru_cache(maxsize=256)
def tap_plan(
    kernel_sizes: tuple[int, ...], dilations: tuple[int, ...], n: int, device: torch.device
) -> TapPlan:
    """Lay out the candidates' taps for inputs of length `n`; `device` is where the indices are needed."""
    kept, candidates, distances = [], [], []
    row = 0
    for i, k in enumerate(kernel_sizes):
        for j, d in enumerate(dilations):
            left, _ = same_padding(k, d)
            for t in range(k):
                if abs(t * d - left) < n:
                    kept.append(row)
                    candidates.append(i * len(dilations) + j)
                    distances.append(t * d - left)
                row += 1
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        return TapPlan(
            kept=torch.tensor(kept, dtype=torch.long, device=device),
            candidate=torch.tensor(candidates, dtype=torch.long, device=device),
            distance=torch.tensor(distances, dtype=torch.long, device=device),
            crops=len(kept) < row,
            left=max([0, *(-o for o in distances)]),
            right=max([0, *distances]),
        )


def aggregate_kernel(weight: Tensor, coefficients: Tensor, plan: TapPlan, at: Tensor, length: int) -> Tensor:
    """The aggregated kernel ``sum a[k, d] w[k, d]`` of equation 3, built in one scatter.

    Args:
        weight: every candidate's taps, one under the other, [taps, out, in].
        coefficients: the mixing coefficients a, [|K||D|].
        plan: the taps' layout.
        at: for each kept tap, its position in the result, [kept taps].
        length: length of the result.

    Returns:
        The kernel with its taps first, [length, out, in].
    """
    taps = weight.index_select(0, plan.kept) if plan.crops else weight
    weighted = taps * coefficients.index_select(0, plan.candidate)[:, None, None]
    return weight.new_zeros(length, *weight.shape[1:]).index_add(0, at, weighted)


def mixed_weights(x: Tensor, weight: Tensor, coefficients: Tensor, plan: TapPlan, groups: int) -> Tensor:
    """Equation 3: one direct convolution of x [B, in, n] with the aggregated kernel, giving [B, out, n]."""
    kernel = aggregate_kernel(
        weight, coefficients, plan, plan.distance + plan.left, plan.left + plan.right + 1
    )
    return F.conv1d(F.pad(x, (plan.left, plan.right)), kernel.permute(1, 2, 0), groups=groups)


def fourier(x: Tensor, weight: Tensor, coefficients: Tensor, plan: TapPlan, groups: int) -> Tensor:
    """Equation 4: the aggregated convolution of x [B, in, n] by its spectrum, giving [B, out, n].

    The circular length N is at least n + max(left, right): whatever wraps around then lands beyond the n
    outputs that are kept, so the borders are exact. Placing the tap of distance o at position -o mod N turns
    the correlation into a circular convolution, Y = X W per frequency.
    """
    n = x.shape[-1]
    length = smooth_length(n + max(plan.left, plan.right))
    kernel = aggregate_kernel(weight, coefficients, plan, -plan.distance % length, length)
    if length <= LONGEST_DENSE_DFT:
        return _through_dense_dft(x, kernel, groups)
    return _through_fft(x, kernel, groups)


def mixed_results(
    x: Tensor,
    weight: Tensor,
    coefficients: Tensor,
    kernel_sizes: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Tensor:
    """Equation 2: the weighted sum of the |K||D| convolutions of x [B, in, n], giving [B, out, n]."""
    candidates = [(k, d) for k in kernel_sizes for d in dilations]
    kernels = torch.split(weight, [k for k, _ in candidates])
    results = [
        a * F.conv1d(F.pad(x, same_padding(k, d)), kernel.permute(1, 2, 0), dilation=d, groups=groups)
        for a, kernel, (k, d) in zip(coefficients, kernels, candidates, strict=True)
    ]
    return torch.stack(results).sum(0)


def _through_dense_dft(x: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """Circular convolution of x [B, in, n] with kernel [N, out, in / groups], by DFT matrices."""
    batch, _, n = x.shape
    length, out = kernel.shape[:2]
    forward, backward = _dft_matrices(length, x.dtype, x.device)
    bins = length // 2 + 1
    spectrum = (forward[:, :n] @ x.permute(2, 0, 1).reshape(n, -1)).view(2, bins, batch, groups, -1)
    response = (forward @ kernel.reshape(length, -1)).view(2, bins, groups, out // groups, -1)
    real, imaginary = _frequency_products(
        spectrum.transpose(2, 3).flatten(1, 2), response.transpose(3, 4).flatten(1, 2)
    )
    product = torch.stack([real, imaginary]).view(2, bins, groups, batch, -1).transpose(2, 3)
    return (backward[:n] @ product.reshape(2 * bins, -1)).view(n, batch, out).permute(1, 2, 0)


def _through_fft(x: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """The same circular convolution by real FFTs, for the lengths at which n log n has won."""
    batch, _, n = x.shape
    length, out = kernel.shape[:2]
    spectrum = torch.fft.rfft(x, n=length).permute(2, 0, 1)
    response = torch.fft.rfft(kernel, dim=0)
    bins = spectrum.shape[0]
    parts = torch.view_as_real(spectrum).permute(3, 0, 1, 2).reshape(2, bins, batch, groups, -1)
    weights = torch.view_as_real(response).permute(3, 0, 1, 2).reshape(2, bins, groups, out // groups, -1)
    real, imaginary = _frequency_products(
        parts.transpose(2, 3).flatten(1, 2), weights.transpose(3, 4).flatten(1, 2)
    )
    product = torch.complex(real, imaginary).view(bins, groups, batch, -1).permute(2, 1, 3, 0)
    y: Tensor = torch.fft.irfft(product.reshape(batch, out, bins), n=length)
    return y[..., :n]


def _frequency_products(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Contract the channels per frequency: three real batched products instead of four (Gauss).

    Args:
        x: real and imaginary spectrum of the input, [2, bins * groups, B, in].
        w: real and imaginary spectrum of the kernel, [2, bins * groups, in, out].

    Returns:
        Real and imaginary part of the product, each [bins * groups, B, out].
    """
    (xr, xi), (wr, wi) = x.unbind(), w.unbind()
    rr, ii = torch.bmm(xr, wr), torch.bmm(xi, wi)
    return rr - ii, torch.bmm(xr + xi, wr + wi) - rr - ii


@lru_cache(maxsize=64)
def _dft_matrices(length: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The real DFT of `length` and its inverse as matrices, [2 bins, length] and [length, 2 bins].

    The rows of the first are the cosines of all bins, then the negated sines; the second counts every bin but
    the first and (for an even length) the last twice, for its mirrored twin.
    """
    bins = length // 2 + 1
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        turns = torch.outer(torch.arange(bins), torch.arange(length)) % length
        angle = turns.double() * (2 * math.pi / length)
        twins = torch.full((bins, 1), 2.0, dtype=torch.double)
        twins[0] = 1
        if length % 2 == 0:
            twins[-1] = 1
        forward = torch.cat([angle.cos(), -angle.sin()])
        backward = torch.cat([twins * angle.cos(), -twins * angle.sin()]).T / length
        return forward.to(device, dtype), backward.to(device, dtype)


class AggConv1d(nn.Module):
    """A convolution (one axis, stride 1, 'same' padding) whose kernel size and dilation are being searched.

    Attributes:
        weight: the taps of all candidates, in the order of ``itertools.product(kernel_sizes, dilations)``,
            [|D| sum(K), out_channels, in_channels / groups].
        alpha: the architecture parameters, [|K|, |D|].
        bias: one bias for all candidates (the coefficients add up to 1), [out_channels], or None.
        method: which of `METHODS` computes it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int],
        dilations: Sequence[int],
        *,
        groups: int = 1,
        bias: bool = True,
        method: Method = "fourier",
    ) -> None:
        super().__init__()
        self.kernel_sizes, self.dilations = tuple(kernel_sizes), tuple(dilations)
        self.groups, self.method = groups, method
        fan_in = in_channels // groups
        candidates = [k for k in self.kernel_sizes for _ in self.dilations]
        # Each candidate starts as torch would start it alone: uniform within 1 / sqrt(fan-in).
        bounds = torch.cat([torch.full((k,), (fan_in * k) ** -0.5) for k in candidates])
        uniform = torch.rand(len(bounds), out_channels, fan_in) * 2 - 1
        self.weight = nn.Parameter(uniform * bounds[:, None, None])
        # Small noise breaks ties, as in the paper's code; the mixture starts as good as uniform.
        self.alpha = nn.Parameter(1e-3 * torch.randn(len(self.kernel_sizes), len(self.dilations)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    @classmethod
    def replacing(
        cls,
        conv: nn.Conv1d,
        kernel_sizes: Sequence[int],
        dilations: Sequence[int],
        method: Method = "fourier",
    ) -> Self:
        """An AggConv with the channels, groups and bias of `conv`."""
        has_bias = conv.bias is not None
        agg_conv = cls(
            conv.in_channels,
            conv.out_channels,
            kernel_sizes,
            dilations,
            groups=conv.groups,
            bias=has_bias,
            method=method,
        )
        if agg_conv.bias is not None:
            agg_conv.bias.data.copy_(cast(Tensor, conv.bias).data)
        return agg_conv.to(conv.weight.device, conv.weight.dtype)

    def coefficients(self) -> Tensor:
        """The mixing coefficients: softmax of the architecture parameters over all candidates, [|K||D|]."""
        return self.alpha.flatten().softmax(0)

    def best(self) -> tuple[int, int]:
        """The kernel size and the dilation with the largest architecture parameter."""
        k, d = divmod(int(self.alpha.argmax()), len(self.dilations))
        return self.kernel_sizes[k], self.dilations[d]

    def forward(self, x: Tensor) -> Tensor:
        """Mix all candidates' results for x [B, in_channels, n], giving [B, out_channels, n]."""
        a = self.coefficients()
        if self.method == "mixed-results":
            y = mixed_results(x, self.weight, a, self.kernel_sizes, self.dilations, self.groups)
        else:
            compute = fourier if self.method == "fourier" else mixed_weights
            plan = tap_plan(self.kernel_sizes, self.dilations, x.shape[-1], x.device)
            y = compute(x, self.weight, a, plan, self.groups)
        return y if self.bias is None else y + self.bias[:, None]

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"K={self.kernel_sizes}, D={self.dilations}, groups={self.groups}, method={self.method}"
