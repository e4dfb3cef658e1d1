"""The odd-frequency FFT convolution of one tile, with every transform in two steps: T = T1 T2, T2 even.

`FFTForm` has the convolution; its frequencies are w_f = 2 pi (f + 1/2) / T. With t = T1 t2 + t1 and f = f2 + T2 f1,

    exp(-i w_f t) = exp(-2 pi i (f2 + 1/2) t2 / T2)  exp(-i w_f t1)

since T1 t2 w_f and 2 pi (f2 + 1/2) t2 / T2 differ by whole turns (Cooley and Tukey, "An Algorithm for the Machine
Calculation of Complex Fourier Series", Mathematics of Computation 19, 1965). The first step is one real matrix for
all t1, the second one a small complex matrix for each f2. Half of the f2 are enough: the others belong to
conjugates. With the real and the imaginary part of a number as two rows, for each f2,

    Z[f2, re/im, t1] = outer_analysis [T2, T2]  x[t2, t1]                    (f2, re/im: T2 rows)
    X[f2, kind, f1]  = inner_analysis[f2] [3 T1, 2 T1]  Z[f2]                 (kinds: Xr + Xi, Xr, Xi)
    P = X W                                                                   (Wr, Wi - Wr, Wr + Wi of the taps)
    U[f2, re/im, s1] = inner_synthesis[f2] [2 T1, 3 T1]  P[f2]
    y[s2, s1]        = outer_synthesis [S2, T2]  U[f2, re/im, s1]             (output s = T1 s2 + s1)

The sums in front of the three products, and behind them, are part of the matrices. A number takes T2 + 3 T1
multiply-adds there and back, where a dense matrix takes 3T/2 and that of one half of the tile T/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CooleyTukeyForm:
    """The matrices of one tile along one axis.

    Args:
        tile: T, the tile's length.
        inner: T1, a divisor of the tile's length whose quotient T2 is even.
        taps: k, the number of taps, at most T.
        outputs: S; T - k + 1, or 2c more where the input's zeros allow it, as for `FFTForm`.

    Raises:
        ValueError: T1 does not divide T, T2 is odd, k is not in 1 .. T, or S does not suit them.
    """

    tile: int
    inner: int
    taps: int
    outputs: int

    def __post_init__(self) -> None:
        if self.inner < 1 or self.tile < 2 or self.tile % (2 * self.inner):
            raise ValueError(f"tile length {self.tile}: it must be an even multiple of {self.inner}")
        if not 1 <= self.taps <= self.tile:
            raise ValueError(f"{self.taps} taps do not fit a tile of length {self.tile}")
        if self.outputs < 1 or self.margin < 0 or 2 * self.margin != self._beside:
            raise ValueError(f"{self.outputs} outputs: not those of {self.taps} taps and tile {self.tile}")

    @property
    def outer(self) -> int:
        """T2."""
        return self.tile // self.inner

    @property
    def _beside(self) -> int:
        return self.outputs + self.taps - 1 - self.tile

    @property
    def margin(self) -> int:
        """c: inputs on either side of the tile that are zeros."""
        return self._beside // 2

    @property
    def products(self) -> int:
        """3T/2."""
        return 3 * self.tile // 2

    @property
    def rows(self) -> int:
        """S2 T1: outputs that are computed, S and up to T1 - 1 more."""
        return -(-self.outputs // self.inner) * self.inner

    @cached_property
    def outer_analysis(self) -> Matrix:
        """[T2, T2]: row (f2, re/im), column t2."""
        angles = self._outer_angles(np.arange(self.outer))
        return np.stack([np.cos(angles), -np.sin(angles)], axis=1).reshape(self.outer, self.outer)

    @cached_property
    def inner_analysis(self) -> Matrix:
        """[T2 / 2, 3 T1, 2 T1]: row (kind, f1), column (re/im, t1)."""
        e = np.exp(-1j * self._frequencies[:, :, None] * np.arange(self.inner))
        real, imaginary = np.concatenate([e.real, -e.imag], -1), np.concatenate([e.imag, e.real], -1)
        return np.concatenate([real + imaginary, real, imaginary], axis=1)

    @cached_property
    def tap_matrix(self) -> Matrix:
        """[3T/2, k]: row (f2, kind, f1); the conjugate spectrum, since a CNN's "convolution" is a correlation."""
        w = np.exp(1j * self._frequencies[:, :, None] * np.arange(self.taps))
        kinds = np.stack([w.real, w.imag - w.real, w.real + w.imag], axis=1)
        return kinds.reshape(self.products, self.taps)

    @cached_property
    def inner_synthesis(self) -> Matrix:
        """[T2 / 2, 2 T1, 3 T1]: row (re/im, s1), column (kind, f1); Yr = P1 - P3, Yi = P1 + P2."""
        e = np.exp(1j * self._frequencies[:, None, :] * (np.arange(self.inner) - self.margin)[:, None])
        e *= 2 / self.tile
        real = np.concatenate([e.real - e.imag, -e.imag, -e.real], axis=-1)
        imaginary = np.concatenate([e.imag + e.real, e.real, -e.imag], axis=-1)
        return np.concatenate([real, imaginary], axis=1)

    @cached_property
    def outer_synthesis(self) -> Matrix:
        """[S2, T2]: row s2, column (f2, re/im)."""
        angles = self._outer_angles(np.arange(self.rows // self.inner)).T
        return np.stack([np.cos(angles), -np.sin(angles)], axis=-1).reshape(len(angles), self.outer)

    @cached_property
    def _frequencies(self) -> Matrix:
        """w_f: [T2 / 2, T1]."""
        f = np.arange(self.outer // 2)[:, None] + self.outer * np.arange(self.inner)
        return 2 * np.pi * (f + 0.5) / self.tile

    def _outer_angles(self, positions: npt.NDArray[np.int64]) -> Matrix:
        """[T2 / 2, positions]."""
        return 2 * np.pi * (np.arange(self.outer // 2)[:, None] + 0.5) * positions / self.outer
