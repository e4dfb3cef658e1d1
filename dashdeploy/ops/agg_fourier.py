"""AggConv by spectra: equation 4, with no waste.

A correlation is a product per frequency, Y(f) = conj-phase W(f) X(f). Three things keep it cheap:

    taps     The aggregated kernel has few distinct taps, however large its field, so its spectrum is one matrix
             product  G [2 bins, taps] x K [taps, out in]  with the rows of the DFT at those taps alone.
    tiles    A series much longer than the field is cut into overlapping tiles (overlap-save), whose short
             transforms are matrix products too, and whose frequencies see all tiles as one large batch.
    layout   [bins, tiles * B, channels] makes the contraction over channels one batched product of contiguous
             matrices, three real ones per complex one (Gauss).

Otherwise the input is transformed whole by FFTs of 5-smooth length. Its length T need only keep wrap-around off
the outputs that are wanted: T >= n - low and T >= m + high, where low and high are the farthest taps.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.ops.agg_taps import Frame, Offsets, TapPlan

KEPT_SPECTRUM = 2**23
"""Largest kernel spectrum, in elements, that is kept for the backward pass; a larger one is computed again."""

LARGEST_TABLE = 2**22
"""Most elements of a table of DFT rows at the taps; beyond, the kernel is scattered and transformed by FFT."""

LEAST_FOR_GAUSS = 48
"""Rows, inputs and outputs from which three real products beat four."""


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


def whole_lengths(plan: TapPlan, frame: Frame) -> Offsets:
    """The transform's length per axis if the input is transformed in one piece."""
    axes = zip(plan.spatial, plan.out, frame.stride, plan.low, plan.high, strict=True)
    return tuple(
        smooth_length(max(n - min(low, 0), s * (m - 1) + 1 + max(high, 0), n)) for n, m, s, low, high in axes
    )


def fourier_whole(
    x: Tensor, weight: Tensor, coefficients: Tensor, plan: TapPlan, frame: Frame, groups: int
) -> Tensor:
    """Equation 4 with the input x [B, in, *spatial] transformed in one piece, giving [B, out, *spatial']."""
    lengths, axes = whole_lengths(plan, frame), tuple(range(2, x.dim()))
    kernel = plan.distinct.aggregate(weight, coefficients)
    spectrum = torch.fft.rfftn(x, s=lengths, dim=axes)
    half = spectrum.shape[2:]
    columns = torch.view_as_real(spectrum.flatten(2)).permute(3, 2, 0, 1).contiguous()  # [2, bins, B, in]
    table = _tap_table(plan.distances, lengths, x.dtype, x.device)
    product = _contract(columns, kernel, table, groups, plan.distances, lengths)
    bins = torch.complex(product[0], product[1]).permute(1, 2, 0)
    y: Tensor = torch.fft.irfftn(bins.reshape(*bins.shape[:2], *half), s=lengths, dim=axes)
    for axis, s, m in zip(axes, frame.stride, plan.out, strict=True):
        y = y.narrow(axis, 0, s * (m - 1) + 1)
        y = y if s == 1 else y.index_select(axis, torch.arange(0, y.shape[axis], s, device=y.device))
    return y


def fourier_tiles(
    x: Tensor, weight: Tensor, coefficients: Tensor, plan: TapPlan, frame: Frame, groups: int, tile: int
) -> Tensor:
    """Equation 4 for x [B, in, n] in overlapping tiles of length `tile`, giving [B, out, m].

    A tile that is long enough for the whole input is one tile, transformed by a matrix instead of an FFT.
    """
    batch, channels, n = x.shape
    (low,), (high,), (s,), (m,) = plan.low, plan.high, frame.stride, plan.out
    wanted = s * (m - 1) + 1
    rows = x.permute(2, 0, 1)  # positions first: every move below copies whole rows of B * C numbers
    if tile >= whole_lengths(plan, frame)[0]:
        first, valid, tiles = 0, wanted, 1
        pieces = rows.reshape(n, -1)
    else:
        first, valid = low, tile - (high - low)
        tiles = -(-wanted // valid)
        rows = F.pad(rows, (0, 0, 0, 0, -low, (tiles - 1) * valid + low + tile - n))
        pieces = rows.unfold(0, tile, valid).permute(3, 0, 1, 2).reshape(tile, -1)
    kernel = plan.distinct.aggregate(weight, coefficients)
    distances = tuple((o - first,) for (o,) in plan.distances)
    table = _tap_table(distances, (tile,), x.dtype, x.device)
    forward, backward = _dft_matrices(tile, x.dtype, x.device)
    columns = (forward[:, : len(pieces)] @ pieces).view(2, -1, tiles * batch, channels)
    product = _contract(columns, kernel, table, groups, distances, (tile,))
    y = (backward[:valid] @ product.reshape(backward.shape[1], -1)).view(valid, tiles, batch, -1)
    return y.transpose(0, 1).reshape(tiles * valid, batch, -1)[:wanted:s].permute(1, 2, 0)


def _contract(
    columns: Tensor,
    kernel: Tensor,
    table: Tensor | None,
    groups: int,
    distances: tuple[Offsets, ...],
    lengths: Offsets,
) -> Tensor:
    """Multiply the input's spectrum [2, bins, M, in] with that of the taps; gives [2, bins, M, out]."""
    if table is None:
        kernel = _spectrum_by_fft(kernel, distances, lengths)
    if groups == columns.shape[-1] == kernel.shape[-2]:
        spectrum = kernel if table is None else (table @ kernel.flatten(1)).view(2, -1, groups, 1)
        (xr, xi), (wr, wi) = columns.unbind(), spectrum.transpose(2, 3).unbind()
        return torch.stack([xr * wr - xi * wi, xr * wi + xi * wr])
    product: Tensor = _Contraction.apply(columns, kernel, table, groups)  # type: ignore[no-untyped-call]
    return product


class _Contraction(torch.autograd.Function):
    """Spectrum of the taps, and its product with the input's spectrum per frequency.

    Autograd would keep both spectra, their sums and all partial products; this keeps the input's spectrum and,
    unless it is large, the taps' one. The gradients are dX = dY conj(W) and dW = conj(X) dY.
    """

    @staticmethod
    def forward(ctx: Any, columns: Tensor, kernel: Tensor, table: Tensor | None, groups: int) -> Tensor:  # noqa: ANN401
        spectrum = kernel if table is None else (table @ kernel.flatten(1)).view(2, -1, *kernel.shape[1:])
        keep = table is None or spectrum.numel() <= KEPT_SPECTRUM
        ctx.groups = groups
        ctx.save_for_backward(columns, kernel, table, spectrum if keep else None)
        w = _by_group(spectrum, groups).transpose(-1, -2)
        return _regroup(_complex_bmm(_columns_by_group(columns, groups), w), groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        columns, kernel, table, spectrum = ctx.saved_tensors
        groups: int = ctx.groups
        if spectrum is None:
            spectrum = (table @ kernel.flatten(1)).view(2, -1, *kernel.shape[1:])
        dy = _columns_by_group(gradient, groups)
        dx = dk = None
        if ctx.needs_input_grad[0]:
            dx = _regroup(_complex_bmm(dy, _by_group(spectrum, groups), conjugate=True), groups)
        if ctx.needs_input_grad[1]:
            x = _columns_by_group(columns, groups)
            dw = _complex_bmm(dy.transpose(-1, -2), x, conjugate=True).view(spectrum.shape)
            dk = dw if table is None else (table.t() @ dw.view(table.shape[0], -1)).view(kernel.shape)
        return dx, dk, None, None


def _complex_bmm(x: Tensor, w: Tensor, *, conjugate: bool = False) -> Tensor:
    """The batched complex product x w, or x conj(w).

    Large products take three real ones (Gauss); small ones four that add up in place, since the sums that Gauss
    needs are passes over memory, which then cost more than the product that they spare.

    Args:
        x: real and imaginary parts, [2, bins * groups, M, in].
        w: real and imaginary parts, [2, bins * groups, in, out].
        conjugate: whether w is conjugated.
    """
    (xr, xi), (wr, wi) = x.unbind(), w.unbind()
    sign = 1 if conjugate else -1
    product = x.new_empty(2, xr.shape[0], xr.shape[1], wr.shape[2])
    real, imaginary = product.unbind()
    torch.bmm(xr, wr, out=real)
    if min(*xr.shape[1:], wr.shape[2]) < LEAST_FOR_GAUSS:
        torch.bmm(xi, wr, out=imaginary)
        imaginary.baddbmm_(xr, wi, alpha=-sign)
        real.baddbmm_(xi, wi, alpha=sign)
        return product
    ii = torch.bmm(xi, wi)
    torch.bmm(xr + xi, torch.add(wr, wi, alpha=-sign), out=imaginary)
    imaginary.sub_(real).add_(ii, alpha=sign)  # (xr + xi)(wr -+ wi) - xr wr +- xi wi
    real.add_(ii, alpha=sign)
    return product


def _columns_by_group(columns: Tensor, groups: int) -> Tensor:
    """[2, bins, M, channels] as [2, bins * groups, M, channels / groups]."""
    if groups == 1:
        return columns
    two, bins, rows, _ = columns.shape
    return columns.reshape(two, bins, rows, groups, -1).transpose(2, 3).reshape(two, bins * groups, rows, -1)


def _regroup(columns: Tensor, groups: int) -> Tensor:
    """The way back from `_columns_by_group`."""
    if groups == 1:
        return columns
    two, both, rows, _ = columns.shape
    return (
        columns.view(two, both // groups, groups, rows, -1)
        .transpose(2, 3)
        .reshape(two, both // groups, rows, -1)
    )


def _by_group(spectrum: Tensor, groups: int) -> Tensor:
    """[2, bins, out, in / groups] as [2, bins * groups, out / groups, in / groups]."""
    two, bins, out, fan_in = spectrum.shape
    return spectrum.reshape(two, bins * groups, out // groups, fan_in)


def _spectrum_by_fft(kernel: Tensor, distances: tuple[Offsets, ...], lengths: Offsets) -> Tensor:
    """The spectrum of taps [taps, out, in] by a scatter and an FFT, [2, bins, out, in]."""
    places = []
    for distance in distances:
        place = 0
        for o, length in zip(distance, lengths, strict=True):
            place = place * length + -o % length
        places.append(place)
    at = torch.tensor(places, device=kernel.device)
    grid = kernel.new_zeros(math.prod(lengths), *kernel.shape[1:]).index_copy(0, at, kernel)
    response = torch.fft.rfftn(grid.view(*lengths, *kernel.shape[1:]), dim=tuple(range(len(lengths))))
    return torch.view_as_real(response.flatten(0, len(lengths) - 1)).permute(3, 0, 1, 2).contiguous()


@lru_cache(maxsize=64)
def _tap_table(
    distances: tuple[Offsets, ...], lengths: Offsets, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """Rows of the conjugate DFT at the taps, [2 bins, taps]: the cosines, then the sines; None if too large."""
    counts = [*lengths[:-1], lengths[-1] // 2 + 1]
    if 2 * math.prod(counts) * len(distances) > LARGEST_TABLE:
        return None
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        angle = torch.zeros(*([1] * len(counts)), len(distances), dtype=torch.double)
        for axis, (length, count) in enumerate(zip(lengths, counts, strict=True)):
            offsets = torch.tensor([distance[axis] for distance in distances])
            turns = torch.outer(torch.arange(count), offsets) % length
            shape = [1] * len(counts)
            shape[axis] = count
            angle = angle + (turns.double() * (2 * math.pi / length)).view(*shape, -1)
        angle = angle.flatten(0, -2)
        return torch.cat([angle.cos(), angle.sin()]).to(device, dtype)


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
        backward = torch.cat([twins * angle.cos(), -twins * angle.sin()]).t() / length
        return forward.to(device, dtype), backward.contiguous().to(device, dtype)
