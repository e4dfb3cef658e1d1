"""The FFT convolution of one tile as a bilinear algorithm of real matrices.

A tile ``x`` of length T and ``k`` taps ``w`` have S = T - k + 1 valid outputs ``y[s] = sum_j w[j] x[s + j]``.
Any circular convolution of length T gives them, since what wraps around touches only the other outputs. We
take the *skew-circular* one, whose DFT has the odd frequencies w_f = 2 pi (f + 1/2) / T (the "odd-frequency
DFT": Vernet, "Real signals fast Fourier transform", Proc. IEEE 1971; Nussbaumer, "Fast Fourier Transform and
Convolution Algorithms", 1982). The ordinary DFT of a real tile has two real frequencies that need
a treatment of their own; here all H = T/2 frequencies are alike, and every array below has H rows.

Positions are counted from the centre of the tile, t - (T-1)/2, and of the outputs, s - (S-1)/2. Then the
even part of the tile gives the real spectrum and its odd part the imaginary one, each with a matrix of a
quarter the size (they are the DCT-IV and the DST-IV), and the same holds backwards:

    E[u] = x[H+u] + x[H-1-u],   O[u] = x[H+u] - x[H-1-u]                      u = 0 .. H-1
    Xr = C E,  Xi = S O                                                         (analysis)
    P1 = (Xr + Xi) Wr,  P2 = Xr (Wi - Wr),  P3 = Xi (Wr + Wi)                   (three products per frequency)
    Yr = P1 - P3,  Yi = P1 + P2
    y[+-v] = (synthesis_even Yr) +- (synthesis_odd Yi)                          (synthesis)

``W`` is the conjugate spectrum of the taps, since a CNN's "convolution" is a correlation. The three real
products instead of four for a complex one are Gauss's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FFTForm:
    """The matrices of one tile.

    Args:
        tile: T, the tile's length, even.
        taps: k, the number of taps, at most T.

    Raises:
        ValueError: T is odd or not positive, or k is not in 1 .. T.
    """

    tile: int
    taps: int

    def __post_init__(self) -> None:
        if self.tile < 2 or self.tile % 2:
            raise ValueError(f"tile length {self.tile}: it must be even and at least 2")
        if not 1 <= self.taps <= self.tile:
            raise ValueError(f"{self.taps} taps do not fit a tile of length {self.tile}")

    @property
    def half(self) -> int:
        """H = T/2: the number of frequencies, and of mirrored pairs of inputs."""
        return self.tile // 2

    @property
    def outputs(self) -> int:
        """S = T - k + 1: the valid outputs of a tile."""
        return self.tile - self.taps + 1

    @cached_property
    def _frequencies(self) -> Matrix:
        return 2 * np.pi * (np.arange(self.half) + 0.5) / self.tile

    @cached_property
    def analysis_even(self) -> Matrix:
        """[H, H]: the real spectrum of the tile's even part."""
        return np.cos(np.outer(self._frequencies, np.arange(self.half) + 0.5))

    @cached_property
    def analysis_odd(self) -> Matrix:
        """[H, H]: the imaginary spectrum of the tile's odd part."""
        return -np.sin(np.outer(self._frequencies, np.arange(self.half) + 0.5))

    def spectrum(self, weight: Matrix) -> tuple[Matrix, Matrix]:
        """The conjugate spectrum of taps.

        Args:
            weight: [..., k].

        Returns:
            Real and imaginary part, each [H, ...].
        """
        angle = np.outer(self._frequencies, np.arange(self.taps) - (self.taps - 1) / 2)
        return np.tensordot(np.cos(angle), weight, (1, -1)), np.tensordot(np.sin(angle), weight, (1, -1))

    @cached_property
    def _mirrored(self) -> Matrix:
        """Centred positions of the outputs at and right of the centre: [ceil(S/2)]."""
        centred = np.arange(self.outputs, dtype=np.float64) - (self.outputs - 1) / 2
        return centred[self.outputs // 2 :]

    @cached_property
    def synthesis_even(self) -> Matrix:
        """[ceil(S/2), H]: from Yr to the part of the outputs that is even about the centre."""
        return 2 / self.tile * np.cos(np.outer(self._mirrored, self._frequencies))

    @cached_property
    def synthesis_odd(self) -> Matrix:
        """[ceil(S/2), H]: from Yi to the part of the outputs that is odd about the centre."""
        return -2 / self.tile * np.sin(np.outer(self._mirrored, self._frequencies))

    def mirrored_row(self, output: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where output s stands in the concatenation [even + odd; even - odd] of 2 ceil(S/2) rows."""
        rows = len(self._mirrored)
        centre = self.outputs // 2
        return np.where(output >= centre, output - centre, rows + self.outputs - 1 - output - centre)

    def multiply_adds(self, in_channels: int, out_channels: int, groups: int = 1) -> int:
        """Multiply-adds of one tile: both transforms and the product of the spectra."""
        transforms = (
            2 * self.half * self.half * in_channels + 2 * len(self._mirrored) * self.half * out_channels
        )
        return transforms + 3 * self.half * in_channels * out_channels // groups
