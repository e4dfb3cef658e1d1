"""The spectrum of an aggregated kernel, and its adjoint, for `dashdeploy.ops.aggconv.fourier`.

A tap of distance o adds ``K[o] exp(2 pi i f o / T)`` to the response at frequency f (a CNN's convolution is a
correlation, hence the sign). The kernel has few distinct taps, however large its field: up to some dozens, a matrix
product with the rows of the DFT at those taps alone is quicker than a transform of the whole field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dashdeploy.ops.conv.frame import Offsets

FFT_FROM_TAPS = 48
"""Taps from which an FFT of the scattered kernel beats the product with the DFT's rows."""

LARGEST_TABLE = 2**22
"""Most elements of a table of DFT rows at the taps."""


@dataclass(frozen=True)
class TapSpectrum:
    """Where the taps sit, and how long the transform is.

    Attributes:
        distances: each tap's distance per axis.
        lengths: the transform's length per axis.
    """

    distances: tuple[Offsets, ...]
    lengths: Offsets

    @property
    def half(self) -> Offsets:
        """Frequencies per axis: half of them along the last, since all is real."""
        return (*self.lengths[:-1], self.lengths[-1] // 2 + 1)

    @property
    def bins(self) -> int:
        """Frequencies in all."""
        return math.prod(self.half)

    @property
    def by_table(self) -> bool:
        """Whether the matrix product is taken."""
        taps = len(self.distances)
        return taps < FFT_FROM_TAPS and 2 * self.bins * taps <= LARGEST_TABLE

    def of(self, kernel: Tensor) -> Tensor:
        """The response of a kernel [taps, out, in], complex [out * in, bins]."""
        flat = kernel.flatten(1).t()
        if self.by_table:
            pairs = flat @ _table(self, kernel.dtype, kernel.device)[0]
            return torch.view_as_complex(pairs.view(len(flat), self.bins, 2))
        grid = flat.new_zeros(len(flat), math.prod(self.lengths))
        grid[:, _places(self, kernel.device)] = flat
        axes = tuple(range(1, 1 + len(self.lengths)))
        response: Tensor = torch.fft.rfftn(grid.view(-1, *self.lengths), dim=axes)
        return response.flatten(1)

    def adjoint(self, spectrum: Tensor) -> Tensor:
        """The taps' values [taps, pairs] of the real signals with the spectra `spectrum`, complex [pairs, bins].

        With a spectrum dY conj(X) of gradient and input, summed over samples, this is the gradient of the taps.
        """
        if self.by_table:
            table = _table(self, spectrum.real.dtype, spectrum.device)[1]
            return table @ torch.view_as_real(spectrum).flatten(1).t()
        axes = tuple(range(1, 1 + len(self.lengths)))
        grid: Tensor = torch.fft.irfftn(spectrum.view(-1, *self.half), s=self.lengths, dim=axes)
        return grid.flatten(1)[:, _places(self, spectrum.device)].t()


@lru_cache(maxsize=64)
def _places(taps: TapSpectrum, device: torch.device) -> Tensor:
    """Each tap's place on the grid of a transform: a correlation's taps lie mirrored, [taps]."""
    places = []
    for distance in taps.distances:
        place = 0
        for o, length in zip(distance, taps.lengths, strict=True):
            place = place * length + -o % length
        places.append(place)
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        return torch.tensor(places, dtype=torch.long, device=device)


@lru_cache(maxsize=64)
def _table(taps: TapSpectrum, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of the conjugate DFT at the taps, cosine and sine in turn, and of its inverse, [taps, 2 bins] each.

    The inverse counts every frequency of the last axis but the first and (for an even length) the last twice, for
    its mirrored twin.
    """
    with torch.inference_mode(False):
        angle = torch.zeros(len(taps.distances), *([1] * len(taps.half)), dtype=torch.double)
        for axis, (length, count) in enumerate(zip(taps.lengths, taps.half, strict=True)):
            offsets = torch.tensor([distance[axis] for distance in taps.distances])
            turns = torch.outer(offsets, torch.arange(count)) % length
            shape = [len(offsets)] + [1] * len(taps.half)
            shape[1 + axis] = count
            angle = angle + (turns.double() * (2 * math.pi / length)).view(shape)
        twins = torch.full((taps.half[-1],), 2.0, dtype=torch.double)
        twins[0] = 1
        if taps.lengths[-1] % 2 == 0:
            twins[-1] = 1
        forward = torch.stack([angle.cos(), angle.sin()], -1)
        backward = forward * (twins / math.prod(taps.lengths))[:, None]
        return forward.flatten(1).to(device, dtype), backward.flatten(1).to(device, dtype)
