"""The FFT convolution of one tile as a bilinear algorithm of real matrices.

A tile ``x`` of length T and ``k`` taps ``w`` have S = T - k + 1 valid outputs ``y[s] = sum_j w[j] x[s + j]``.
Any circular convolution of length T gives them, since what wraps around touches only the other outputs. More
outputs are right where the input is known to be zero: with S + k - 1 = T + 2c, the tile being the middle T of
that many inputs, the c inputs on either side and those that they wrap around to must be zeros. We take
the *skew-circular* one, whose DFT has the odd frequencies w_f = 2 pi (f + 1/2) / T (the "odd-frequency DFT":
Vernet, "Real signals fast Fourier transform", Proc. IEEE 1971; Nussbaumer, "Fast Fourier Transform and
Convolution Algorithms", 1982). The ordinary DFT of a real tile has two real frequencies that need a treatment
of their own; here all H = T/2 frequencies are alike, and every array below has H rows.

Positions are counted from the center of the tile, t - (T-1)/2, and of the outputs, s - (S-1)/2. Then the even
part of the tile gives the real spectrum and its odd part the imaginary one, each with a matrix of a quarter the
size (they are the DCT-IV and the DST-IV), and the same holds backwards. In one dimension:

    E[u] = x[H+u] + x[H-1-u],   O[u] = x[H+u] - x[H-1-u]                      u = 0 .. H-1
    Xr = cosines E,  Xi = -sines O                                              (analysis)
    P1 = (Xr + Xi) Wr,  P2 = Xr (Wi - Wr),  P3 = Xi (Wr + Wi)                   (three products per frequency)
    Yr = P1 - P3,  Yi = P1 + P2
    y[+-v] = (synthesis_cosines Yr) +- (-synthesis_sines Yi)                    (synthesis)

``W`` is the conjugate spectrum of the taps, since a CNN's "convolution" is a correlation. The three real
products instead of four for a complex one are Gauss's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.floating]


@dataclass(frozen=True)
class FFTForm:
    """The matrices of one tile along one axis.

    Args:
        tile: T, the tile's length, even.
        taps: k, the number of taps, at most T.
        outputs: S; T - k + 1, or more by an even number where the input's zeros allow it.

    Raises:
        ValueError: T is odd or not positive, k is not in 1 .. T, or S does not suit them.
    """

    tile: int
    taps: int
    outputs: int

    @classmethod
    def valid(cls, tile: int, taps: int) -> FFTForm:
        """The form that needs no zeros: S = T - k + 1."""
        return cls(tile, taps, tile - taps + 1)

    def __post_init__(self) -> None:
        if self.tile < 2 or self.tile % 2:
            raise ValueError(f"tile length {self.tile}: it must be even and at least 2")
        if not 1 <= self.taps <= self.tile:
            raise ValueError(f"{self.taps} taps do not fit a tile of length {self.tile}")
        if not 0 <= self.margin * 2 <= self.tile or (self.outputs + self.taps - 1 - self.tile) % 2:
            raise ValueError(f"{self.outputs} outputs do not fit {self.taps} taps on a tile of {self.tile}")

    @property
    def half(self) -> int:
        """H = T/2: the number of frequencies, and of mirrored pairs of inputs."""
        return self.tile // 2

    @property
    def margin(self) -> int:
        """c: inputs on either side of the tile that must be zeros; 0 for the valid outputs."""
        return (self.outputs + self.taps - 1 - self.tile) // 2

    @property
    def mirrored(self) -> int:
        """ceil(S/2): mirrored pairs of outputs; the middle one of an odd number is its own mirror."""
        return (self.outputs + 1) // 2

    @cached_property
    def _frequencies(self) -> Matrix:
        return 2 * np.pi * (np.arange(self.half) + 0.5) / self.tile

    def _angles(self, positions: Matrix) -> Matrix:
        return np.outer(self._frequencies, positions)

    @cached_property
    def cosines(self) -> Matrix:
        """[H, H]: analysis of the even part."""
        return np.cos(self._angles(np.arange(self.half) + 0.5))

    @cached_property
    def sines(self) -> Matrix:
        """[H, H]: analysis of the odd part."""
        return np.sin(self._angles(np.arange(self.half) + 0.5))

    @cached_property
    def _tap_angles(self) -> Matrix:
        return self._angles(np.arange(self.taps) - (self.taps - 1) / 2)

    @cached_property
    def tap_cosines(self) -> Matrix:
        """[H, k]: from taps to the real part of their conjugate spectrum."""
        return np.cos(self._tap_angles)

    @cached_property
    def tap_sines(self) -> Matrix:
        """[H, k]: from taps to the imaginary part of their conjugate spectrum."""
        return np.sin(self._tap_angles)

    @cached_property
    def _output_angles(self) -> Matrix:
        centered = np.arange(self.outputs, dtype=np.float64) - (self.outputs - 1) / 2
        return self._angles(centered[self.outputs // 2 :]).T

    @cached_property
    def synthesis_cosines(self) -> Matrix:
        """[ceil(S/2), H]: from a spectrum to the outputs' even part, at and right of the center."""
        return 2 / self.tile * np.cos(self._output_angles)

    @cached_property
    def synthesis_sines(self) -> Matrix:
        """[ceil(S/2), H]: from a spectrum to the outputs' odd part, at and right of the center."""
        return 2 / self.tile * np.sin(self._output_angles)

    def mirrored_row(self, output: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where output s stands in the concatenation [even + odd; even - odd] of 2 ceil(S/2) rows."""
        center = self.outputs // 2
        return np.where(output >= center, output - center, self.mirrored + self.outputs - 1 - output - center)
