"""Moves of rows that follow each other, as one: tiles gather rows of what was padded, and gathered, before.

LiteRT's delegate does not take GATHER, and each one passes over all numbers. So a gather of a gather reads what the
first one read. Rows that padding added are one row of zeros behind the others. What is done to each number alone is
done before a gather, beside the operator that made the numbers, which XNNPACK then fuses it with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashdeploy.runtimes.converted.tflite.flatbuffer import Array, FlatbufferWriter

_ZERO = -1
"""Stands for a row of zeros."""

_MOST_GROWTH = 1.25
"""How many times as many numbers an operator may be given so that it comes before a gather."""


@dataclass(frozen=True)
class _Rows:
    """A tensor that is rows of another one, along one axis."""

    source: int
    axis: int
    rows: Array


class RowMoves:
    """Writes gathers, padding and what is done to each number, and remembers which rows of what a tensor is.

    Args:
        writer: where the operators go.
    """

    def __init__(self, writer: FlatbufferWriter) -> None:
        self._writer = writer
        self._known: dict[int, _Rows] = {}

    def gather(self, tensor: int, axis: int, rows: Array) -> int:
        """Rows of a tensor along an axis, in the order of `rows`."""
        found = self._known.get(tensor)
        if found is None or found.axis != axis:
            found = _Rows(tensor, axis, np.arange(self._writer.shape(tensor)[axis]))
        known = _Rows(found.source, axis, found.rows[rows])
        output = self._written(known)
        self._known[output] = known
        return output

    def pad(self, tensor: int, pads: Array) -> int:
        """Zeros before and behind a tensor: `pads` has a pair for each axis."""
        shape = [size + int(sum(pair)) for size, pair in zip(self._writer.shape(tensor), pads, strict=True)]
        output = self._writer.op("PAD", (tensor, self._writer.constant(pads.astype(np.int32))), shape)
        found = self._known.get(tensor)
        if found is not None and np.flatnonzero(pads.any(1)).tolist() == [found.axis]:
            rows = np.pad(found.rows, tuple(pads[found.axis]), constant_values=_ZERO)
            self._known[output] = _Rows(found.source, found.axis, rows)
        return output

    def unary(self, code: str, tensor: int) -> int:
        """An operator on each number alone, before a gather or a reshape where those come last."""
        found = self._known.get(tensor)
        if found is not None and (found.rows != _ZERO).all():
            before, after = self._writer.shape(found.source)[found.axis], len(found.rows)
            if before <= _MOST_GROWTH * after:
                return self.gather(self.unary(code, found.source), found.axis, found.rows)
        source, shape = self._writer.before_reshape(tensor), self._writer.shape(tensor)
        return self._writer.reshape(self._writer.op(code, (source,), self._writer.shape(source)), shape)

    def _written(self, known: _Rows) -> int:
        source, rows = known.source, known.rows
        length = self._writer.shape(source)[known.axis]
        if (rows == _ZERO).any():
            pads = np.zeros((len(self._writer.shape(source)), 2), np.int32)
            pads[known.axis, 1] = 1
            shape = [
                size + int(more) for size, more in zip(self._writer.shape(source), pads[:, 1], strict=True)
            ]
            source = self._writer.op("PAD", (source, self._writer.constant(pads)), shape)
            rows = np.where(rows == _ZERO, length, rows)
        shape = [*self._writer.shape(source)]
        shape[known.axis] = len(rows)
        places = self._writer.integers([int(row) for row in rows])
        return self._writer.op("GATHER", (source, places), shape, axis=known.axis)
