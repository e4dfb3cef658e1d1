"""Arrays that stay in their files: rows are read when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

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

    def __getitem__(self, mask: npt.NDArray[np.bool_]) -> StoredArray:
        """The rows that a mask chooses."""
        rows, read = np.flatnonzero(mask).tolist(), self.read
        return StoredArray(
            (len(rows), *self.shape[1:]), self.dtype, lambda chosen: read([rows[each] for each in chosen])
        )

    def with_channels(self) -> StoredArray:
        """[n, 1, length] of [n, length]; what has an axis of channels as it is."""
        if self.ndim != 2:
            return self
        read = self.read
        return StoredArray(
            (self.shape[0], 1, self.shape[1]), self.dtype, lambda chosen: read(chosen)[:, None, :]
        )

    def channels_first(self) -> StoredArray:
        """[n, channels, …] of [n, …, channels]."""
        shape, read = (self.shape[0], self.shape[-1], *self.shape[1:-1]), self.read
        return StoredArray(shape, self.dtype, lambda chosen: np.moveaxis(read(chosen), -1, 1))

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def bounds(self) -> Iterator[tuple[int, int]]:
        """First row and end of every block."""
        return block_bounds(self.shape)

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """The number of a block's first row, and the block; all rows in their order."""
        for start, stop in self.bounds():
            yield start, self.read(range(start, stop))

    def whole(self) -> Array:
        """All of it, in memory."""
        array = np.empty(self.shape, self.dtype)
        for start, block in self.blocks():
            array[start : start + len(block)] = block
        return array


def stored_or_not(array: object) -> object:
    """An array that NumPy maps from a file as one whose rows are read from there; anything else as it is."""
    return StoredArray.of(array) if isinstance(array, np.memmap) and array.ndim else array


def in_memory_if_they_fit(arrays: Mapping[str, Array | StoredArray]) -> dict[str, Array | StoredArray]:
    """The arrays x_train and so on in memory, if they may be held there together as float32; else all stored.

    Targets and names are brought into memory always.
    """
    inputs = [array for name, array in arrays.items() if name.startswith("x_")]
    small = sum(4 * math.prod(array.shape) for array in inputs) <= MOST_BYTES_IN_MEMORY
    large = not small and any(isinstance(array, StoredArray) for array in inputs)
    settled: dict[str, Array | StoredArray] = {}
    for name, array in arrays.items():
        if large and name.startswith("x_"):
            settled[name] = array if isinstance(array, StoredArray) else StoredArray.of(array)
        else:
            settled[name] = array.whole() if isinstance(array, StoredArray) else array
    return settled
