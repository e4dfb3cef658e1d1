"""AggConv by spectra: equation 4, with no waste.

A correlation is a product per frequency, Y(f) = W(f) X(f). Three things keep it cheap:

    tiles     A series much longer than the field is cut into overlapping tiles: their transforms are shorter, they
              need the taps' response at fewer frequencies, and a frequency sees all tiles as one batch.
    layout    FFTs work on rows [tiles * B * channels, T], all contiguous and with one batch axis (others run on one
              thread); the contraction over channels is one batched complex product of matrices
              [bins, tiles * B, channels]. One transpose lies between the two. It walks over the bins, which all fall
              into few sets of the cache where their distance is a multiple of a large power of two, as that of
              tiles * B * channels often is: therefore matrices have an odd number of rows.
    backward  The gradients dX = dY conj(W) and dW = dY conj(X) share the transform of dY, and X is kept from the
              forward pass. Autograd's own ways back through paddings and overlaps cost more than the FFTs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dashdeploy.ops.aggconv.spectrum import TapSpectrum
from dashdeploy.ops.aggconv.taps import TapPlan
from dashdeploy.ops.aggconv.tiles import Tiling, tiling
from dashdeploy.ops.conv.frame import Frame

KEPT_SPECTRUM = 2**24
"""Largest kernel spectrum, in complex numbers, that is kept for the backward pass; a larger one is made again."""


def fourier(
    x: Tensor,
    weight: Tensor,
    coefficients: Tensor,
    plan: TapPlan,
    frame: Frame,
    groups: int,
    tile: int = 0,
) -> Tensor:
    """Equation 4 for x [B, in, *spatial], giving [B, out, *spatial'].

    Args:
        x: the input.
        weight: all candidates' taps, [taps, out, in / groups].
        coefficients: the mixing coefficients, [|K||D|].
        plan: where the taps fall.
        frame: how the outputs sit on the inputs.
        groups: groups of channels.
        tile: length of the tiles that a series is cut into; 0 is the input in one piece.
    """
    cut = tiling(plan, frame, tile)
    distances = plan.distances if cut.tiles == 1 else tuple((o - cut.first,) for (o,) in plan.distances)
    kernel = plan.distinct.aggregate(weight, coefficients)
    depthwise = groups == x.shape[1] == weight.shape[1]
    problem = _Problem(cut, TapSpectrum(distances, cut.lengths), 1 if depthwise else groups, depthwise)
    y: Tensor = _Correlation.apply(x, kernel, problem)  # type: ignore[no-untyped-call]
    return y


@dataclass(frozen=True)
class _Problem:
    """How the input is cut, where the taps sit, and which channels see each other.

    Spectra are rows [groups * M * channels, bins], with M = B * tiles, for the FFTs, and columns for the products:
    [bins * groups, M', channels], or, depthwise, where products are element by element, rows as they are. M' is M or
    M + 1, whichever is odd; a row that is added for that is zero.
    """

    tiling: Tiling
    taps: TapSpectrum
    groups: int
    depthwise: bool

    def columns(self, tiles: Tensor) -> Tensor:
        """The spectra of tiles [groups, B, tiles, channels, *lengths], as columns."""
        channels, signals = tiles.shape[3], tiles.flatten(0, 3)
        axes = tuple(range(1, signals.dim()))
        rows: Tensor = torch.fft.rfftn(signals, s=self.tiling.lengths, dim=axes).reshape(-1, self.taps.bins)
        if self.depthwise:
            return rows.view(-1, channels, self.taps.bins)
        return self._by_frequency(rows, channels)

    def tiles(self, columns: Tensor, batch: int) -> Tensor:
        """The way back from `columns`."""
        if self.depthwise:
            channels, rows = columns.shape[1], columns
        else:
            channels = columns.shape[2]
            matrices = columns.view(self.taps.bins, self.groups, -1, channels)
            rows = matrices[:, :, : batch * self.tiling.tiles].permute(1, 2, 3, 0).contiguous()
        spectra = rows.view(-1, *self.taps.half)
        axes = tuple(range(1, spectra.dim()))
        signals: Tensor = torch.fft.irfftn(spectra, s=self.tiling.lengths, dim=axes)
        return signals.view(self.groups, batch, self.tiling.tiles, channels, *self.tiling.lengths)

    def response(self, kernel: Tensor) -> Tensor:
        """The spectrum of a kernel [taps, out, in / groups]: [bins * groups, out / groups, in / groups]."""
        rows = self.taps.of(kernel)
        if self.depthwise:
            return rows
        return self._by_frequency(rows, kernel.shape[2])[:, : kernel.shape[1] // self.groups]

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        """The output's spectrum, Y = W X."""
        return x * w if self.depthwise else torch.bmm(x, w.mT)

    def input_gradient(self, dy: Tensor, w: Tensor) -> Tensor:
        """The spectrum of the input's gradient, dX = conj(W) dY."""
        return dy * w.conj() if self.depthwise else torch.bmm(dy, w.conj())

    def kernel_gradient(self, dy: Tensor, x: Tensor) -> Tensor:
        """The gradient of the taps, from dW = dY conj(X); [taps, out * in / groups]."""
        if self.depthwise:
            return self.taps.adjoint((dy * x.conj()).sum(0))
        dw = torch.bmm(dy.mT, x.conj())
        return self.taps.adjoint(dw.view(self.taps.bins, -1).t().contiguous())

    def _by_frequency(self, rows: Tensor, channels: int) -> Tensor:
        """Columns [bins * groups, M', channels] of rows [groups * M * channels, bins]."""
        matrices = rows.view(self.groups, -1, channels, self.taps.bins).permute(3, 0, 1, 2)
        count = matrices.shape[2]
        columns = rows.new_empty(self.taps.bins, self.groups, count | 1, channels)
        columns[:, :, :count] = matrices
        columns[:, :, count:] = 0
        return columns.flatten(0, 1)


class _Correlation(torch.autograd.Function):
    """The correlation of x [B, in, *spatial] with a kernel [taps, out, in / groups]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, problem: _Problem) -> Tensor:  # noqa: ANN401
        columns = problem.columns(problem.tiling.cut(x, problem.groups))
        response = problem.response(kernel)
        ctx.problem = problem
        ctx.save_for_backward(columns, kernel, response if response.numel() <= KEPT_SPECTRUM else None)
        return problem.tiling.join(problem.tiles(problem.product(columns, response), len(x)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        problem: _Problem = ctx.problem
        columns, kernel, response = ctx.saved_tensors
        dy = problem.columns(problem.tiling.cut_gradient(gradient, problem.groups))
        dx = dk = None
        if ctx.needs_input_grad[0]:
            w = problem.response(kernel) if response is None else response
            tiles = problem.tiles(problem.input_gradient(dy, w), len(gradient))
            dx = problem.tiling.join_gradient(tiles)
        if ctx.needs_input_grad[1]:
            dk = problem.kernel_gradient(dy, columns).view(kernel.shape)
        return dx, dk, None
