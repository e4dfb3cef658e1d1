"""Gathers of rows with constant indices, written as views: what tiles read and write is regular.

A compiler turns a gather into one look-up for every element, and repeats what its input computes for every row that
is read twice. A view has its addresses in the loops, and its input is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

_MOST_PIECES = 8


@dataclass(frozen=True)
class Lattice:
    """Rows ``base + sum over i of k_i steps_i`` for all ``k_i`` below ``sizes_i``, the last one running first.

    Attributes:
        base: the first row.
        sizes: how many rows there are along each axis.
        steps: how far they are apart; may be negative.
    """

    base: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return prod(self.sizes)

    @property
    def lowest(self) -> int:
        """The lowest row."""
        return self.base + sum(
            step * (size - 1) for size, step in zip(self.sizes, self.steps, strict=True) if step < 0
        )

    @property
    def highest(self) -> int:
        """The highest row."""
        return self.base + sum(
            step * (size - 1) for size, step in zip(self.sizes, self.steps, strict=True) if step > 0
        )


@dataclass(frozen=True)
class RowViews:
    """Rows of a tensor as views of it: for each repeat, one lattice behind the other.

    Attributes:
        repeats: how often the lattices follow each other.
        step: by how many rows each repeat is further on.
        pieces: the lattices of the first one.
        length: how many rows are wanted; those behind are left out.
    """

    repeats: int
    step: int
    pieces: tuple[Lattice, ...]
    length: int

    def of(self, x: Any) -> Any:  # noqa: ANN401 - a tensor; torch is imported by whoever has one
        """The rows of x [rows, ...]: [length, ...]."""
        import torch

        x, rest = x.contiguous(), list(x.shape[1:])
        row = x.stride(0)
        inner = [x.stride(axis) for axis in range(1, x.dim())]
        parts = []
        for piece in self.pieces:
            sizes = (self.repeats, *piece.sizes)
            steps = (self.step, *piece.steps)
            # A stride is never negative: such an axis is read forwards, and turned around then.
            lowest = piece.lowest + min(0, self.step * (self.repeats - 1))
            strides = [abs(step) * row for step in steps] + inner
            part = torch.as_strided(x, [*sizes, *rest], strides, lowest * row)
            backwards = [axis for axis, step in enumerate(steps) if step < 0]
            part = part.flip(backwards) if backwards else part
            parts.append(part.reshape([self.repeats, piece.count, *rest]))
        rows = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return rows.reshape([-1, *rest])[: self.length]


def row_views(indices: Indices, rows: int) -> RowViews | None:
    """The views that give the same as a gather of rows; None if the indices have no such pattern.

    Args:
        indices: [length], the row that each result is.
        rows: how many there are.
    """
    whole = _lattice(indices)
    if whole is not None and _fits(RowViews(1, 0, (whole,), len(indices)), rows):
        return RowViews(1, 0, (whole,), len(indices))
    for period in range(2, len(indices) // 2 + 1):
        apart = indices[period:] - indices[:-period]
        if (apart != apart[0]).any():
            continue
        pieces = _pieces(indices[:period])
        if pieces is None:
            return None
        views = RowViews(ceil(len(indices) / period), int(apart[0]), pieces, len(indices))
        return views if _fits(views, rows) else None
    return None


def _fits(views: RowViews, rows: int) -> bool:
    """Whether all that the views read is there, also what is left out of the result then."""
    ends = 0, views.step * (views.repeats - 1)
    lowest = min(piece.lowest for piece in views.pieces) + min(ends)
    return lowest >= 0 and max(piece.highest for piece in views.pieces) + max(ends) < rows


def _lattice(indices: Indices) -> Lattice | None:
    """The lattice that begins with the indices; None if there is none."""
    sizes: list[int] = []
    steps: list[int] = []
    starts = indices
    while len(starts) > 1:
        apart = np.diff(starts)
        uneven = np.flatnonzero(apart != apart[0])
        run = int(uneven[0]) + 1 if len(uneven) else len(starts)
        if run == 1:
            return None
        offsets = int(apart[0]) * np.arange(run)
        if ((starts[::run, None] + offsets).ravel()[: len(starts)] != starts).any():
            return None
        sizes, steps, starts = [run, *sizes], [int(apart[0]), *steps], starts[::run]
    return Lattice(int(indices[0]), tuple(sizes), tuple(steps))


def _pieces(indices: Indices) -> tuple[Lattice, ...] | None:
    """A few lattices that follow each other, each whole; None if it takes many."""
    pieces: list[Lattice] = []
    while len(indices):
        if len(pieces) == _MOST_PIECES:
            return None
        pieces.append(_longest_whole(indices))
        indices = indices[pieces[-1].count :]
    return tuple(pieces)


def _longest_whole(indices: Indices) -> Lattice:
    for length in range(len(indices), 1, -1):
        found = _lattice(indices[:length])
        if found is not None and found.count == length:
            return found
    return Lattice(int(indices[0]), (), ())
