"""Inputs that are made when a batch asks for them, because all of them together would not fit in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor


class LazyInputs:
    """Has a tensor's shape and gives its rows, each made anew whenever it is asked for.

    Args:
        shape: [samples, channels, …].
        make: gives sample number i, of ``shape[1:]``; the same every time.
    """

    def __init__(self, shape: tuple[int, ...], make: Callable[[int], Tensor]) -> None:
        self.shape, self.make = shape, make

    def __len__(self) -> int:
        """Number of samples."""
        return self.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """The samples that a slice or a tensor of indices names, stacked; those of a mask, to be made later."""
        if isinstance(index, Tensor) and index.dtype == torch.bool:
            kept = index.nonzero().flatten().tolist()
            return lazy((len(kept), *self.shape[1:]), lambda i: self.make(kept[i]))
        chosen = range(*index.indices(len(self))) if isinstance(index, slice) else index.tolist()
        if not chosen:
            return torch.empty(0, *self.shape[1:])
        return torch.stack([self.make(each) for each in chosen])


def joined_inputs(parts: Sequence[Tensor | LazyInputs]) -> Tensor:
    """All samples of several parts, one part after the other; to be made later if any part's are."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        return torch.cat(tensors)
    ends = list(accumulate(len(part) for part in parts))

    def make(index: int) -> Tensor:
        number = bisect_right(ends, index)
        start = index - (ends[number - 1] if number else 0)
        return parts[number][start : start + 1][0]

    return lazy((ends[-1], *parts[0].shape[1:]), make)


def lazy(shape: tuple[int, ...], make: Callable[[int], Tensor]) -> Tensor:
    """`LazyInputs` where a `Split` has a tensor: whoever reads a split asks for its shape and its rows alone."""
    return cast("Tensor", LazyInputs(shape, make))
