"""Arrays that stay in their files: rows are read when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dashdeploy.data.checks import Array
from dashdeploy.data.lazy_inputs import block_bounds

MOST_BYTES_IN_MEMORY = 2**30
"""Of the inputs of all splits together, as float32. What is larger is read batch by batch."""


class StoredArray:
    """An array's shape and type, and its rows on request.

    Args:
        shape: [n, …].
        dtype: of its numbers.
        read: gives the rows of these numbers, stacked in their order, of `dtype`; the same every time.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[np.generic], read: Callable[[Sequence[int]], Array]
    ) -> None:
        self.shape, self.dtype, self.read = tuple(shape), dtype, read

    @classmethod
    def of(cls, array: Array) -> StoredArray:
        """The rows of an array that NumPy has, perhaps mapped from a file."""

        def read(rows: Sequence[int]) -> Array:
            within = (
                slice(rows.start, rows.stop) if isinstance(rows, range) and rows.step == 1 else list(rows)
            )
            return np.array(array[within])  # a copy in memory: pages of the file are not kept

        return cls(array.shape, array.dtype, read)

    def of_rows(self, rows: Sequence[int]) -> StoredArray:
        """Some of its rows, in this order."""
        read = self.read
        return StoredArray(
            (len(rows), *self.shape[1:]), self.dtype, lambda chosen: read([rows[each] for each in chosen])
        )

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """The number of a block's first row, and the block; all rows in their order."""
        for start, stop in block_bounds(self.shape):
            yield start, self.read(range(start, stop))

    def whole(self) -> Array:
        """All of it, in memory."""
        array = np.empty(self.shape, self.dtype)
        for start, block in self.blocks():
            array[start : start + len(block)] = block
        return array


def fit_in_memory(arrays: Sequence[Array | StoredArray]) -> bool:
    """Whether inputs of these shapes may be held in memory together, as float32."""
    return sum(4 * math.prod(array.shape) for array in arrays) <= MOST_BYTES_IN_MEMORY
