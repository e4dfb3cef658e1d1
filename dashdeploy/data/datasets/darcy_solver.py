"""Darcy flow on the unit square: -div(a grad u) = f, u = 0 on the edge; many fields at once.

Five-point finite differences, with a between two nodes the mean of theirs, as in the script that generated the
data of Li et al., "Fourier neural operator" (arXiv 2010.08895, appendix A.3.2). Solved by conjugate gradients,
preconditioned with the inverse of the constant-coefficient Laplacian, which sine transforms diagonalize: the number
of iterations depends on the contrast of a alone, not on the grid.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TOLERANCE = 1e-10
MOST_ITERATIONS = 500


def random_coefficients(count: int, size: int, seed: int) -> Tensor:
    """Fields a [count, size, size] of two values, 12 where a Gaussian random field is positive and 3 elsewhere.

    The field has mean 0 and covariance (-Δ + τ²)^-α with α = 2 and τ = 3, and no flow across the edge: a sum of
    cosines whose coefficients are independent normal variates times (π²(k² + l²) + τ²)^(-α/2), without k = l = 0.

    Args:
        count: number of fields.
        size: nodes per side, edges included.
        seed: of the variates; the first fields of a larger count are the same.
    """
    alpha, tau = 2.0, 3.0
    k = torch.arange(size, dtype=torch.float64)
    deviation = (math.pi**2 * (k[:, None] ** 2 + k**2) + tau**2) ** (-alpha / 2)
    deviation[0, 0] = 0
    # The cosines are orthogonal over the square with norms of their own: 1 for k = 0, 1/2 for the others.
    norm = torch.where(k > 0, math.sqrt(2), 1.0).double()
    cosines = norm[:, None] * torch.cos(
        math.pi * k[:, None] * torch.linspace(0, 1, size, dtype=torch.float64)
    )
    fields = []
    for index in range(count):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        variates = torch.randn(size, size, generator=generator, dtype=torch.float64)
        fields.append(cosines.T @ (deviation * variates) @ cosines)
    return torch.where(torch.stack(fields) >= 0, 12.0, 3.0).double()


def solve(a: Tensor, f: Tensor | None = None) -> Tensor:
    """The solutions u [count, n, n], 0 on the edge.

    Args:
        a: coefficients at the nodes [count, n, n], positive.
        f: right-hand sides at the nodes, of the same shape; None is 1 everywhere.

    Raises:
        ArithmeticError: the iteration does not converge; the coefficients are not positive or their contrast is
            extreme.
    """
    a = a.double()
    n = a.shape[-1]
    b = (torch.ones_like(a) if f is None else f.double())[:, 1:-1, 1:-1] / (n - 1) ** 2
    east, south = (a[:, 1:-1, 1:] + a[:, 1:-1, :-1]) / 2, (a[:, 1:, 1:-1] + a[:, :-1, 1:-1]) / 2
    laplacian = _laplacian_eigenvalues(n - 2) * a.mean((1, 2), keepdim=True)

    def applied(u: Tensor) -> Tensor:
        return _divergence(u, east, south)

    def preconditioned(r: Tensor) -> Tensor:
        return sine_transform(sine_transform(r) / laplacian) / (2 * (n - 1)) ** 2

    u = torch.zeros_like(b)
    residual = b.clone()
    z = preconditioned(residual)
    direction, rho = z, _dot(residual, z)
    goal = TOLERANCE * b.flatten(1).norm(dim=1).clamp_min(1e-300)
    for _ in range(MOST_ITERATIONS):
        left = residual.flatten(1).norm(dim=1)
        if bool((left <= goal).all()):
            return torch.nn.functional.pad(u, (1, 1, 1, 1))
        if not bool(left.isfinite().all()):
            break
        image = applied(direction)
        step = rho / _dot(direction, image).clamp_min(1e-300)
        u = u + step * direction
        residual = residual - step * image
        z = preconditioned(residual)
        rho, before = _dot(residual, z), rho
        direction = z + rho / before.clamp_min(1e-300) * direction
    raise ArithmeticError("conjugate gradients did not converge")


def _divergence(u: Tensor, east: Tensor, south: Tensor) -> Tensor:
    """-div(a grad u) times the squared distance of nodes, at the inner nodes [count, m, m]."""
    across = torch.nn.functional.pad(u, (1, 1)).diff(dim=2) * east
    down = torch.nn.functional.pad(u, (0, 0, 1, 1)).diff(dim=1) * south
    return -across.diff(dim=2) - down.diff(dim=1)


def _laplacian_eigenvalues(m: int) -> Tensor:
    """Of the five-point Laplacian on m x m inner nodes, in the order of the sine transform [m, m]."""
    one = 4 * torch.sin(math.pi * torch.arange(1, m + 1, dtype=torch.float64) / (2 * (m + 1))) ** 2
    return one[:, None] + one


def sine_transform(x: Tensor) -> Tensor:
    """2 sum_j x_j sin(π (j+1)(k+1) / (m+1)) along both last axes of x [count, m, m] (DST-I).

    The imaginary part of the FFT of the odd extension; applied twice it gives (2 (m + 1))² x.
    """
    for _ in range(2):
        zero = torch.zeros_like(x[..., :1])
        odd = torch.cat([zero, x, zero, -x.flip(-1)], -1)
        x = -torch.fft.rfft(odd).imag[..., 1:-1].transpose(-1, -2)
    return x


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum((1, 2), keepdim=True)
