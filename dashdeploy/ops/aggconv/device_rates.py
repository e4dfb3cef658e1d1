"""Measures the `Rates` of a device: each on a small piece of just that work, forward and backward where both count.

A GPU differs from the next by more than any table can say, and so do its convolutions in half precision. On the CPU
the table is used: what is measured there changes with whatever else the machine does, and a search is to choose alike
on every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.ops.aggconv.fourier import fourier
from dashdeploy.ops.aggconv.rates import Rates, table_for
from dashdeploy.ops.aggconv.taps import tap_plan
from dashdeploy.ops.conv.frame import Frame

SECONDS = 2.0
"""How long it is measured, besides one call of each piece that loads its kernels."""

_FEWEST_CALLS = 3
_FULL_CHANNELS = 64
_TAPS = 9
_SMALL, _LARGE = 1, 32
"""Part of the whole work that is done for the test of a slow device, and on a GPU."""


@dataclass(frozen=True)
class _Piece:
    """Some work to time.

    Attributes:
        amount: how much it is, in the unit of its rate.
        run: does it.
    """

    amount: float
    run: Callable[[], object]


def measured_rates(
    device: torch.device, *, dtype: torch.dtype | None = None, seconds: float = SECONDS
) -> Rates:
    """Measure a device; the random state stays.

    Args:
        device: what is measured.
        dtype: the precision in which direct convolutions are computed by autocast; None is float32, in which torch's
            own settings decide about TF32.
        seconds: about how long, all pieces together.
    """
    scale = _LARGE if device.type == "cuda" else _SMALL
    pieces = _pieces(device, dtype, scale)
    share = seconds / len(pieces)
    took = {name: seconds_of(piece.run, device, share) for name, piece in pieces.items()}
    rates = {name: piece.amount / took[name] for name, piece in pieces.items() if not name.endswith("_calls")}
    images = rates.pop("direct_images")
    return Rates(
        **rates,
        full_channels=table_for(device.type).full_channels,
        image_share=min(1.0, images / rates["direct"]),
        direct_calls=took["direct_calls"],
        fourier_calls=took["fourier_calls"],
    )


def seconds_of(run: Callable[[], object], device: torch.device, most: float) -> float:
    """The median of the calls that fit into `most` seconds, after one that is not counted."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    run()
    wait()
    taken: list[float] = []
    while len(taken) < _FEWEST_CALLS or sum(taken) < most:
        started = perf_counter()
        run()
        wait()
        taken.append(perf_counter() - started)
    return max(sorted(taken)[len(taken) // 2], 1e-9)


def _pieces(device: torch.device, dtype: torch.dtype | None, scale: int) -> dict[str, _Piece]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, gradient: bool = False) -> Tensor:
        return torch.randn(shape, generator=generator).to(device).requires_grad_(gradient)

    def convolution(
        channels: int, spatial: tuple[int, ...], kernel: int, batch: int, groups: int = 1
    ) -> _Piece:
        rank = len(spatial)
        x = random(batch, channels, *spatial, gradient=True)
        w = random(channels, channels // groups, *[kernel] * rank, gradient=True)
        convolve = (F.conv1d, F.conv2d)[rank - 1]

        def run() -> None:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                y = convolve(x, w, padding=kernel // 2, groups=groups)
            torch.autograd.grad(y.sum(), (x, w))

        outputs = batch * math.prod(spatial)
        return _Piece(3 * outputs * kernel**rank * channels * channels // groups, run)

    def spectra_of(*shape: int) -> Tensor:
        return torch.view_as_complex(random(*shape, 2))

    rows, bins, points = 64 * scale, 129, 256
    moved = 16 * rows  # what is only moved has to take a GPU longer than its launch
    left, right = spectra_of(bins, rows, 32), spectra_of(bins, 32, 32)
    spectra, kernels, columns = spectra_of(moved, bins), spectra_of(moved, bins), spectra_of(bins, moved)
    signals, sums = random(moved, points), random(2, moved, points)
    whole, small = random(rows, 32, bins), random(2, 4, 32, gradient=True)
    plan = tap_plan((3,), (1,), Frame.same(1), (32,), device)
    weight, ones = random(3, 4, 4, gradient=True), torch.ones(1, device=device, requires_grad=True)

    def fourier_calls() -> None:
        y = fourier(small, weight, ones, plan, Frame.same(1), 1)
        torch.autograd.grad(y.sum(), (small, weight, ones))

    return {
        "direct": convolution(_FULL_CHANNELS, (512,), _TAPS, 2 * scale),
        "direct_images": convolution(_FULL_CHANNELS, (32, 32), 3, 2 * scale),
        "depthwise": convolution(_FULL_CHANNELS, (512,), _TAPS, 2 * scale, _FULL_CHANNELS),
        "direct_pass": _Piece(whole.numel(), lambda: whole.transpose(1, 2).contiguous()),
        # A product of complex numbers is four of real ones.
        "product": _Piece(4 * bins * rows * 32 * 32, lambda: torch.bmm(left, right)),
        "fft": _Piece(moved * points * math.log2(points + 1), lambda: torch.fft.rfft(signals)),
        # Signals go by rows of a few channels, kernels one by one.
        "signal": _Piece(spectra.numel(), lambda: spectra.view(-1, 16, bins).permute(2, 0, 1).contiguous()),
        "kernel": _Piece(kernels.numel(), lambda: kernels.t().contiguous()),
        "multiply": _Piece(columns.numel(), lambda: columns * columns.conj()),
        "sum": _Piece(sums[0].numel(), lambda: sums[0] + sums[1]),
        "direct_calls": _Piece(1, convolution(4, (32,), 3, 2).run),
        "fourier_calls": _Piece(1, fourier_calls),
    }
