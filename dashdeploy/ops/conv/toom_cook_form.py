"""The Toom-Cook convolution of one tile as a bilinear algorithm of real matrices.

A tile ``x`` of length T and ``k`` taps ``w`` have S = T - k + 1 valid outputs ``y[s] = sum_j w[j] x[s + j]``. That is
the transpose of a product of polynomials, which is determined by its values at T points (Toom 1963, Cook 1966;
Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016). With V_n the Vandermonde matrix of the points with n columns,

    y = V_S^T ((V_k w) * (V_T^-T x))

Real points cost one product each, but more than a handful of them make V_T ill-conditioned. Pairs of complex
points on the unit circle, the roots of unity of the FFT, are benign, and cost three real products a pair (Gauss);
complex points were proposed by Meng and Brothers, "Efficient Winograd Convolution via Integer Arithmetic", 2019.
Both together are nearly as accurate as the FFT and need fewer products: R = 3T/2 - 4 with eight real points, where
the odd-frequency FFT has 3T/2. The real points were chosen by the error that they measure: about 1e-6 of the largest
output in single precision along one axis, for all T and k up to 32. Points whose negated reciprocals are among them
are known to be good (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", ACM TOMS
46(4), 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_INFINITY = float("inf")
_REAL_POINTS = {
    2: (1.0, -1.0),
    4: (0.0, 1.0, -1.0, _INFINITY),
    6: (0.0, 1.0, -1.0, 2.0, -0.5, _INFINITY),
    8: (0.0, 1.0, -1.0, 0.5, -2.0, 1.5, -2 / 3, _INFINITY),
    10: (0.0, 1.0, -1.0, 1.5, -1.5, 2 / 3, -2 / 3, _INFINITY),
}
"""By the shortest tile that they are for; six are more accurate than eight."""


@dataclass(frozen=True)
class ToomCookForm:
    """The matrices of one tile along one axis: ``y = synthesis ((taps w) * (analysis x))``.

    Args:
        tile: T, the tile's length, even.
        taps: k, the number of taps, at most T.
        accurate: use at most six real points: half the error for one product more; for T up to 16.

    Raises:
        ValueError: T is odd or not positive, or k is not in 1 .. T.
    """

    tile: int
    taps: int
    accurate: bool = False

    def __post_init__(self) -> None:
        if self.tile < 2 or self.tile % 2:
            raise ValueError(f"tile length {self.tile}: it must be even and at least 2")
        if not 1 <= self.taps <= self.tile:
            raise ValueError(f"{self.taps} taps do not fit a tile of length {self.tile}")

    @property
    def outputs(self) -> int:
        """S = T - k + 1."""
        return self.tile - self.taps + 1

    @property
    def products(self) -> int:
        """R: one per real point, three per pair of complex ones."""
        real = len(self._real_points)
        return real + 3 * (self.tile - real) // 2

    @property
    def analysis(self) -> Matrix:
        """[R, T]."""
        return self._matrices[0]

    @property
    def tap_matrix(self) -> Matrix:
        """[R, k]."""
        return self._matrices[1]

    @property
    def synthesis(self) -> Matrix:
        """[S, R]."""
        return self._matrices[2]

    @property
    def _real_points(self) -> tuple[float, ...]:
        return _REAL_POINTS[min(6 if self.accurate else 10, self.tile)]

    @cached_property
    def _matrices(self) -> tuple[Matrix, Matrix, Matrix]:
        real = self._real_points
        pairs = (self.tile - len(real)) // 2
        complex_points = [np.exp(2j * np.pi * (f + 1) / (2 * pairs + 2)) for f in range(pairs)]
        points = [*real, *(z for point in complex_points for z in (point, point.conjugate()))]
        inverse = _inverse(np.array([_powers(point, self.tile) for point in points])).T
        analysis, taps, synthesis = [], [], []
        for index, point in enumerate(real):
            analysis.append(inverse[index].real)
            taps.append(_powers(point, self.taps).real)
            synthesis.append(_powers(point, self.outputs).real)
        for pair, point in enumerate(complex_points):
            x = inverse[len(real) + 2 * pair]
            w, y = _powers(point, self.taps), 2 * _powers(point, self.outputs)
            # P1 = (Xr + Xi) Wr, P2 = Xr (Wi - Wr), P3 = Xi (Wr + Wi); the output gets Re(y (P1 - P3 + i (P1 + P2))).
            analysis += [x.real + x.imag, x.real, x.imag]
            taps += [w.real, w.imag - w.real, w.real + w.imag]
            synthesis += [y.real - y.imag, -y.imag, -y.real]
        return _balanced(np.array(analysis), np.array(taps), np.array(synthesis).T)


def _inverse(matrix: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    """The inverse, refined by Newton's iteration in extended precision.

    Without, the ill-conditioned matrices of long tiles leave 1e-10 of the largest output, whatever the precision.
    """
    exact, one = matrix.astype(np.clongdouble), np.eye(len(matrix))
    inverse = np.linalg.inv(matrix).astype(np.clongdouble)
    for _ in range(2):
        inverse = inverse + inverse @ (one - exact @ inverse)
    return inverse.astype(np.complex128)


def _powers(point: complex, count: int) -> npt.NDArray[np.complex128]:
    """1, p, p^2, ...; at infinity the leading coefficient alone."""
    if point == _INFINITY:
        return np.asarray(np.eye(1, count, count - 1, dtype=np.complex128)[0])
    return np.asarray(np.vander(np.array([point], dtype=np.complex128), count, increasing=True)[0])


def _balanced(analysis: Matrix, taps: Matrix, synthesis: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """The same algorithm with rows of length 1 in front of the products: no value is huge."""
    lengths = np.linalg.norm(analysis, axis=1), np.linalg.norm(taps, axis=1)
    scale = lengths[0] * lengths[1]
    return analysis / lengths[0][:, None], taps / lengths[1][:, None], synthesis * scale
