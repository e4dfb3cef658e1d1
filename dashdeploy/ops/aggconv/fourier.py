"""AggConv by spectra: equation 4, with no waste.

A correlation is a product per frequency, Y(f) = W(f) X(f). Three things keep it cheap:

    tiles     A series much longer than the field is cut into overlapping tiles: their transforms are shorter, they
              need the taps' response at fewer frequencies, and a frequency sees all tiles as one batch.
    layout    FFTs work on rows [tiles * B * channels, T], all contiguous and with one batch axis (others run on one
              thread); the contraction over channels is one batched complex product of matrices
              [bins, tiles * B, channels]. One transpose lies between the two. It walks over the bins, which all fall
              into few sets of the cache where their distance is a multiple of a large power of two, as that of
              tiles * B * channels often is: therefore matrices have an odd number of rows. On a GPU it is a multiple
              of `ALIGNED_ROWS`, so that every matrix of the batch begins where kernels for tensor cores want it.
    pieces    A kernel's spectrum is often much larger than the signals'. It is made and used some frequencies at a
              time, so that it stays in the cache meanwhile; its gradient likewise.
    backward  The gradients dX = dY conj(W) and dW = dY conj(X) share the transform of dY, and X is kept from the
              forward pass. It is conj(dY) that is multiplied: the results are conjugates then, and neither the large
              W nor X has to be copied for it. Autograd's own ways back through paddings and overlaps cost more than
              the FFTs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dashdeploy.ops.aggconv.spectrum import TapSpectrum
from dashdeploy.ops.aggconv.taps import TapPlan
from dashdeploy.ops.aggconv.tiles import Tiling, tiling
from dashdeploy.ops.conv.frame import Frame

CACHED_RESPONSES = 2**18
"""Complex numbers of a kernel's spectrum that are made and used at a time on a CPU: two megabytes."""

ALIGNED_ROWS = 8
"""Complex rows of one channel: 64 bytes in complex64; cuBLAS takes tensor cores for what is aligned to 16."""

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
    # Around the middle of the field, where as many taps as can mirror each other.
    distances = plan.distances if cut.tiles == 1 else tuple((o - cut.middle,) for (o,) in plan.distances)
    kernel = plan.distinct.aggregate(weight, coefficients)
    depthwise = groups == x.shape[1] == weight.shape[1]
    if not depthwise:  # as the products want it, so that they need no conjugate of anything but a transpose
        kernel = kernel.unflatten(1, (groups, kernel.shape[1] // groups)).mT.contiguous()  # type: ignore[no-untyped-call]
    problem = _Problem(cut, TapSpectrum(distances, cut.lengths), 1 if depthwise else groups, depthwise)
    y: Tensor = _Correlation.apply(x, kernel, problem)  # type: ignore[no-untyped-call]
    return y


@dataclass(frozen=True)
class _Problem:
    """How the input is cut, where the taps sit, and which channels see each other.

    A kernel is [taps, groups, in / groups, out / groups], or, depthwise, [taps, channels, 1].

    Spectra are rows [groups * M * channels, bins], with M = B * tiles, for the FFTs, and columns for the products:
    [bins * groups, M', channels], or, depthwise, where products are element by element, rows as they are. M' is
    `matrix_rows` of M; rows that are added are zero.
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

    def responses(self, kernel: Tensor) -> Iterator[Tensor]:
        """The spectrum of a kernel, a piece of `pieces` at a time.

        A piece has the shape [bins * groups, in / groups, out / groups].
        """
        if self.depthwise:
            yield self.taps.rows(kernel)
            return
        for some in self.taps.columns(kernel, self.piece(kernel)):
            yield some.view(-1, *kernel.shape[2:])

    def piece(self, kernel: Tensor) -> int:
        """Bins at a time: those whose responses stay in a core's cache until they are used."""
        if kernel.device.type != "cpu":
            return self.taps.bins
        return max(1, CACHED_RESPONSES // kernel.shape[1:].numel())

    def pieces(self, columns: Tensor, kernel: Tensor) -> tuple[Tensor, ...]:
        """The columns of as many bins as `piece` says, each."""
        return (columns,) if self.depthwise else torch.split(columns, self.piece(kernel) * self.groups)

    def product(self, x: Tensor, responses: Iterable[Tensor], kernel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output's spectrum, Y = W X, and the responses W where they are worth keeping."""
        keep = self.taps.bins * kernel.shape[1:].numel() <= KEPT_SPECTRUM
        if self.depthwise:
            (w,) = responses
            return x * w, [w] if keep else []
        kept: list[Tensor] = []
        y = x.new_empty(*x.shape[:2], kernel.shape[3])
        for some, here, w in zip(self.pieces(x, kernel), self.pieces(y, kernel), responses, strict=True):
            torch.bmm(some, w, out=here)
            kept += [w] if keep else []
        return y, kept

    def input_gradient(self, dy: Tensor, responses: Iterable[Tensor], kernel: Tensor) -> Tensor:
        """The conjugate of the spectrum of the input's gradient, of `dy`, which is the conjugate of the output's."""
        if self.depthwise:
            (w,) = responses
            return dy * w
        dx = dy.new_empty(*dy.shape[:2], kernel.shape[2])
        for some, here, w in zip(self.pieces(dy, kernel), self.pieces(dx, kernel), responses, strict=True):
            torch.bmm(some, w.mT, out=here)
        return dx

    def kernel_gradient(self, dy: Tensor, x: Tensor, kernel: Tensor) -> Tensor:
        """The gradient of the taps, from conj(dW) = conj(dY) X; as many numbers as the kernel has."""
        if self.depthwise:
            return self.taps.adjoint_of_rows((dy * x).sum(0).conj_physical_())
        pieces = zip(self.pieces(x, kernel), self.pieces(dy, kernel), strict=True)
        spectra = (torch.bmm(some.mT, here).view(-1, kernel.shape[1:].numel()) for some, here in pieces)
        return self.taps.adjoint_of_columns(spectra, self.piece(kernel))

    def _by_frequency(self, rows: Tensor, channels: int) -> Tensor:
        """Columns [bins * groups, M', channels] of rows [groups * M * channels, bins]."""
        matrices = rows.view(self.groups, -1, channels, self.taps.bins).permute(3, 0, 1, 2)
        count = matrices.shape[2]
        columns = rows.new_empty(self.taps.bins, self.groups, matrix_rows(count, rows.device), channels)
        columns[:, :, :count] = matrices
        columns[:, :, count:].zero_()
        return columns.flatten(0, 1)


def matrix_rows(count: int, device: torch.device) -> int:
    """Rows of the matrices of a product, of which `count` are needed: see the top of the file."""
    return count | 1 if device.type == "cpu" else -(-count // ALIGNED_ROWS) * ALIGNED_ROWS


class _Correlation(torch.autograd.Function):
    """The correlation of x [B, in, *spatial] with a kernel; see `_Problem`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, problem: _Problem) -> Tensor:  # noqa: ANN401
        columns = problem.columns(problem.tiling.cut(x, problem.groups))
        y, kept = problem.product(columns, problem.responses(kernel), kernel)
        ctx.problem = problem
        ctx.save_for_backward(columns, kernel, *kept)
        return problem.tiling.join(problem.tiles(y, len(x)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        problem: _Problem = ctx.problem
        columns, kernel, *kept = ctx.saved_tensors
        dy = problem.columns(problem.tiling.cut_gradient(gradient, problem.groups)).conj_physical_()
        dx = dk = None
        if ctx.needs_input_grad[0]:
            spectrum = problem.input_gradient(dy, kept or problem.responses(kernel), kernel)
            dx = problem.tiling.join_gradient(problem.tiles(spectrum.conj_physical_(), len(gradient)))
        if ctx.needs_input_grad[1]:
            dk = problem.kernel_gradient(dy, columns, kernel).view(kernel.shape)
        return dx, dk, None
