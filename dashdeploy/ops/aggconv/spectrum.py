"""The spectrum of an aggregated kernel, and its adjoint, for `dashdeploy.ops.aggconv.fourier`.

A tap of distance o adds ``K[o] exp(2 pi i f o / T)`` to the response at frequency f (a CNN's convolution is a
correlation, hence the sign). The kernel has few distinct taps, however large its field: a matrix product with the
rows of the DFT at those taps alone is then quicker than a transform of the whole field, the more so where spectra are
wanted by frequency, which is how the product gives them and an FFT does not. Two taps at o and -o share a cosine, and
sines that differ in their sign alone: their sum gives the real part and their difference the imaginary one, so that a
kernel around its middle takes half of the products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dashdeploy.ops.conv.frame import Offsets

ROWS_BY_FFT = 48
"""Taps from which an FFT of the scattered kernel beats the product with the DFT's rows, for spectra as rows."""

COLUMNS_BY_FFT = 256
"""The same for spectra by frequency. On one core with AVX-512, with 85 taps, 2304 pairs and 1001 bins, the product
takes 16 ms and an FFT with its transpose 55 ms; the way back 26 and 28 ms. A product's time grows with the taps."""

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

    def by_table(self, *, rows: bool) -> bool:
        """Whether the matrix product is taken, for spectra as `rows` or by frequency."""
        taps = len(self.distances)
        return taps < (ROWS_BY_FFT if rows else COLUMNS_BY_FFT) and 2 * self.bins * taps <= LARGEST_TABLE

    def rows(self, kernel: Tensor) -> Tensor:
        """The response of a kernel [taps, out, in], complex [out * in, bins]."""
        flat = kernel.flatten(1).t()
        if self.by_table(rows=True):
            pairs = flat @ _table(self, kernel.dtype, kernel.device)[0]
            return torch.view_as_complex(pairs.view(len(flat), self.bins, 2))
        return self._transformed(flat)

    def columns(self, kernel: Tensor, count: int) -> Iterator[Tensor]:
        """The response of a kernel [taps, ...] by frequency, complex [count, pairs], `count` at a time."""
        flat = kernel.flatten(1)
        if not self.by_table(rows=False):
            yield from torch.split(self._transformed(flat.t()).t().contiguous(), count)
            return
        pairs, waves = _mirrored(self, kernel.device), _waves(self, kernel.dtype, kernel.device)[0]
        first = flat.index_select(0, pairs.first)
        second = flat.index_select(0, pairs.second)
        even, odd = first.index_add(0, pairs.both, second), first.index_add(0, pairs.both, second, alpha=-1)
        for cosines, sines in zip(*(torch.split(each, count, dim=1) for each in waves), strict=True):
            yield torch.complex(cosines.t() @ even, sines.t() @ odd)

    def adjoint_of_rows(self, spectrum: Tensor) -> Tensor:
        """The taps' values [taps, pairs] of the real signals with the spectra `spectrum`, complex [pairs, bins].

        With a spectrum dY conj(X) of gradient and input, summed over samples, this is the gradient of the taps.
        """
        if self.by_table(rows=True):
            table = _table(self, spectrum.real.dtype, spectrum.device)[1]
            return table @ torch.view_as_real(spectrum).flatten(1).t()
        return self._signals_at_taps(spectrum)

    def adjoint_of_columns(self, spectrum: Iterator[Tensor], count: int) -> Tensor:
        """As `adjoint_of_rows`, of the conjugate of a spectrum by frequency, in the pieces that `columns` gives."""
        if not self.by_table(rows=False):
            return self._signals_at_taps(torch.cat(list(spectrum)).conj().t().contiguous())
        some = next(spectrum)
        pairs, waves = _mirrored(self, some.device), _waves(self, some.real.dtype, some.device)[1]
        tables = zip(*(torch.split(each, count, dim=1) for each in waves), strict=True)
        parts = [table @ plane for table, plane in zip(next(tables), _planes(some), strict=True)]
        for pair, piece in zip(tables, spectrum, strict=True):
            for part, table, plane in zip(parts, pair, _planes(piece), strict=True):
                part.addmm_(table, plane)
        even, odd = parts
        taps: Tensor = even.new_empty(len(self.distances), even.shape[1])
        taps[pairs.first] = even - odd  # the imaginary parts came with the other sign
        taps[pairs.second] = (even + odd).index_select(0, pairs.both)
        return taps

    def _transformed(self, flat: Tensor) -> Tensor:
        grid = flat.new_zeros(len(flat), math.prod(self.lengths))
        grid[:, _places(self, flat.device)] = flat
        axes = tuple(range(1, 1 + len(self.lengths)))
        response: Tensor = torch.fft.rfftn(grid.view(-1, *self.lengths), dim=axes)
        return response.flatten(1)

    def _signals_at_taps(self, rows: Tensor) -> Tensor:
        axes = tuple(range(1, 1 + len(self.lengths)))
        grid: Tensor = torch.fft.irfftn(rows.view(-1, *self.half), s=self.lengths, dim=axes)
        return grid.flatten(1)[:, _places(self, rows.device)].t()


def _planes(piece: Tensor) -> Tensor:
    """Real and imaginary parts one after the other: [bins, pairs], complex, as [2, bins, pairs]."""
    return torch.view_as_real(piece).movedim(2, 0).contiguous()


@dataclass(frozen=True)
class _Mirrored:
    """Which taps mirror each other at the distance 0.

    Attributes:
        first: one tap of every pair, and the taps that have no mirror image, [half].
        second: the other taps of the pairs, [pairs].
        both: where their pairs are in `first`, [pairs].
    """

    first: Tensor
    second: Tensor
    both: Tensor


@lru_cache(maxsize=64)
def _mirrored(taps: TapSpectrum, device: torch.device) -> _Mirrored:
    first, second, both = mirrored_taps(taps.distances)
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        return _Mirrored(
            *(torch.tensor(each, dtype=torch.long, device=device) for each in (first, second, both))
        )


@lru_cache(maxsize=256)
def mirrored_taps(distances: tuple[Offsets, ...]) -> tuple[list[int], list[int], list[int]]:
    """Taps without those whose mirror image is before them, these, and the places of their mirror images."""
    place: dict[Offsets, int] = {}
    first: list[int] = []
    second: list[int] = []
    both: list[int] = []
    for tap, distance in enumerate(distances):
        mirror = tuple(-o for o in distance)
        if mirror in place:
            second.append(tap)
            both.append(place[mirror])
        else:
            place[distance] = len(first)
            first.append(tap)
    return first, second, both


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
    """Rows of the conjugate DFT at the taps, cosine and sine in turn, and of its inverse, [taps, 2 bins] each."""
    with torch.inference_mode(False):
        angle, share = _angles(taps.distances, taps)
        forward = torch.stack([angle.cos(), angle.sin()], -1)
        backward = forward * share[:, None]
        return forward.flatten(1).to(device, dtype), backward.flatten(1).to(device, dtype)


@lru_cache(maxsize=64)
def _waves(taps: TapSpectrum, dtype: torch.dtype, device: torch.device) -> tuple[tuple[Tensor, Tensor], ...]:
    """The same of the first of mirrored taps alone, cosines and sines apart, [half, bins] each."""
    with torch.inference_mode(False):
        angle, share = _angles(tuple(taps.distances[tap] for tap in mirrored_taps(taps.distances)[0]), taps)
        forward = angle.cos(), angle.sin()
        backward = forward[0] * share, forward[1] * share
        return tuple(
            (cosines.to(device, dtype), sines.to(device, dtype)) for cosines, sines in (forward, backward)
        )


def _angles(distances: Sequence[Offsets], taps: TapSpectrum) -> tuple[Tensor, Tensor]:
    """The DFT's angles at some distances, [distances, bins], and the share of a frequency in the inverse, [bins].

    The inverse counts every frequency of the last axis but the first and (for an even length) the last twice, for
    its mirrored twin.
    """
    angle = torch.zeros(len(distances), *([1] * len(taps.half)), dtype=torch.double)
    for axis, (length, count) in enumerate(zip(taps.lengths, taps.half, strict=True)):
        offsets = torch.tensor([distance[axis] for distance in distances])
        turns = torch.outer(offsets, torch.arange(count)) % length
        shape = [len(offsets)] + [1] * len(taps.half)
        shape[1 + axis] = count
        angle = angle + (turns.double() * (2 * math.pi / length)).view(shape)
    twins = torch.full((taps.half[-1],), 2.0, dtype=torch.double)
    twins[0] = 1
    if taps.lengths[-1] % 2 == 0:
        twins[-1] = 1
    share = (twins / math.prod(taps.lengths)).expand(taps.half)
    return angle.flatten(1), share.flatten()
