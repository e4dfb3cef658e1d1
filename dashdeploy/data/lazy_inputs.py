"""Inputs that are made when a batch asks for them, because all of them together would not fit in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

NUMBERS_PER_BLOCK = 2**24
"""Of what is looked through once, such as for means: 64 MiB in float32."""


class LazyInputs:
    """Has a tensor's shape and gives its rows, each made anew whenever it is asked for.

    Args:
        shape: [samples, channels, …].
        gather: gives the samples of these numbers, stacked in their order; the same every time.
    """

    def __init__(self, shape: tuple[int, ...], gather: Callable[[Sequence[int]], Tensor]) -> None:
        self.shape, self.gather = shape, gather

    def __len__(self) -> int:
        """Number of samples."""
        return self.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """The samples that a slice or a tensor of indices names, stacked; those of a mask, to be made later."""
        if isinstance(index, Tensor) and index.dtype == torch.bool:
            kept = index.nonzero().flatten().tolist()
            return gathered(
                (len(kept), *self.shape[1:]), lambda chosen: self.gather([kept[i] for i in chosen])
            )
        chosen = range(*index.indices(len(self))) if isinstance(index, slice) else index.tolist()
        return self.gather(chosen) if len(chosen) else torch.empty(0, *self.shape[1:])


def is_lazy(inputs: object) -> bool:
    """Whether inputs are made when a batch asks for them, though a `Split` calls them a tensor."""
    return isinstance(inputs, LazyInputs)


def joined_inputs(parts: Sequence[Tensor | LazyInputs]) -> Tensor:
    """All samples of several parts, one part after the other; to be made later if any part's are."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        return torch.cat(tensors)
    numbers = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(part) for part in parts]))
    within = torch.cat([torch.arange(len(part)) for part in parts])

    def gather(chosen: Sequence[int]) -> Tensor:
        at = torch.tensor(chosen)
        whole = torch.empty(len(chosen), *parts[0].shape[1:])
        for number, part in enumerate(parts):
            its = numbers[at] == number
            if its.any():
                whole[its] = part[within[at[its]]]
        return whole

    return gathered((len(numbers), *parts[0].shape[1:]), gather)


def mapped_inputs(
    inputs: Tensor | LazyInputs, change: Callable[[Tensor], Tensor], *, channels: int | None = None
) -> Tensor:
    """`change`, which keeps shapes but for `channels`, of all samples; of lazy ones later, batch by batch."""
    if isinstance(inputs, Tensor):
        return change(inputs)
    gather = inputs.gather
    samples, before, *spatial = inputs.shape
    shape = (samples, before if channels is None else channels, *spatial)
    return gathered(shape, lambda chosen: change(gather(chosen)))


def blocks_of(inputs: Tensor) -> Iterator[Tensor]:
    """All samples in their order, in blocks of at most `NUMBERS_PER_BLOCK` numbers, or of one sample."""
    for start, stop in block_bounds(tuple(inputs.shape)):
        yield inputs[start:stop]


def block_bounds(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First sample and end of every such block of samples [n, …]."""
    step = max(1, NUMBERS_PER_BLOCK // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def gathered(shape: tuple[int, ...], gather: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """`LazyInputs` where a `Split` has a tensor: whoever reads a split asks for its shape and its rows alone."""
    return cast("Tensor", LazyInputs(shape, gather))


def lazy(shape: tuple[int, ...], make: Callable[[int], Tensor]) -> Tensor:
    """The same of samples that are made one by one.

    Args:
        shape: [samples, channels, …].
        make: gives sample number i, of ``shape[1:]``; the same every time.
    """
    return gathered(shape, lambda chosen: torch.stack([make(each) for each in chosen]))
