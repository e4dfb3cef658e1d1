"""Inputs that do not fit in memory: looked through block by block, then read, filled and fitted batch by batch.

What comes out are the numbers that the same arrays in memory would become.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dashdeploy.data.arrays.lengths import (
    HowLengths,
    Lengths,
    OneLength,
    is_padded,
    known_lengths,
    known_mean,
    said_of_lengths,
    without_padding,
)
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, check_finite_blocks, refuse
from dashdeploy.data.lazy_inputs import gathered
from dashdeploy.data.missing_values import Filler, Missing, gap_filler

Single = npt.NDArray[np.float32]


def lengths_of_stored(inputs: Mapping[str, StoredArray]) -> Lengths | None:
    """`padded_lengths` of arrays that stay in their files, all of one shape."""
    if not any(is_padded(block) for _, block in inputs["train"].blocks()):
        return None
    return {
        name: np.concatenate([known_lengths(block) for _, block in rows.blocks()])
        for name, rows in inputs.items()
    }


def checked_stored(
    where: object,
    inputs: Mapping[str, StoredArray],
    called: Mapping[str, str],
    lengths: Lengths | None,
    *,
    may_miss: bool,
) -> dict[str, StoredArray]:
    """Look through inputs; they come out as [n, channels, length] or [n, channels, height, width].

    Args:
        where: the file, for messages.
        inputs: by split, numbers in the axes that inputs have.
        called: what the user calls x_train and so on.
        lengths: of the series, if they have padding.
        may_miss: whether values may be NaN.

    Raises:
        InputError: some of it is NaN, infinite, or beyond float32.
    """
    for name, rows in inputs.items():
        blocks = (
            (start, block if lengths is None else _unpadded(block, lengths[name][start : start + len(block)]))
            for start, block in rows.blocks()
        )
        check_finite_blocks(where, called[f"x_{name}"], blocks, may_miss=may_miss)
    return {name: rows.with_channels() for name, rows in inputs.items()}


def _unpadded(block: Array, lengths: npt.NDArray[np.int64]) -> Array:
    return without_padding(block, lengths, block.shape[-1])


@dataclass(frozen=True)
class _Samples:
    """The samples of a split, in float32, one after the other, as often as they are asked for."""

    rows: StoredArray
    lengths: npt.NDArray[np.int64] | None
    fill: Filler | None

    def read(self, chosen: Sequence[int]) -> list[Single]:
        samples: list[Single] = list(np.ascontiguousarray(self.rows.read(chosen), dtype=np.float32))
        if self.lengths is not None:
            samples = [each[:, : self.lengths[row]] for each, row in zip(samples, chosen, strict=True)]
        return samples if self.fill is None else [self.fill(each) for each in samples]

    def __iter__(self) -> Iterator[Single]:
        for start, stop in self.rows.bounds():
            yield from self.read(range(start, stop))


def read_by_batch(
    where: object,
    inputs: Mapping[str, StoredArray],
    lengths: Lengths | None,
    missing: Missing,
    how: HowLengths,
) -> tuple[dict[str, Tensor], tuple[str, ...], bool]:
    """Inputs without gaps and of one length, as `LazyInputs` in place of tensors.

    Args:
        where: the file, for messages.
        inputs: by split, as `checked_stored` gives them.
        lengths: of the series, if they have padding.
        missing: what becomes of missing values.
        how: what becomes of several lengths.

    Returns:
        The inputs, what is to be said, and whether gaps were filled.

    Raises:
        InputError: images have gaps that only a mean can fill, or a channel has no value to train on.
    """
    samples = {
        name: _Samples(rows, None if lengths is None else lengths[name], None)
        for name, rows in inputs.items()
    }
    notes: tuple[str, ...] = () if lengths is None else (said_of_lengths(lengths, how),)
    fill: Filler | None = None
    if missing != "refuse":
        fill, said = gap_filler(where, samples, missing)
        notes = (*notes, *said)
        if fill is not None and missing == "interpolate" and inputs["train"].ndim > 3:
            refuse(where, "images miss values, which no line can be drawn to", "use `missing=mean`")
        samples = {name: replace(each, fill=fill) for name, each in samples.items()}
    one: OneLength | None = None
    if lengths is not None:
        one = OneLength(how.length(lengths["train"]), how, known_mean(samples["train"]))
    return {name: _lazy(each, one) for name, each in samples.items()}, notes, fill is not None


def _lazy(samples: _Samples, one: OneLength | None) -> Tensor:
    def gather(chosen: Sequence[int]) -> Tensor:
        batch = samples.read(chosen)
        fitted = batch if one is None else [one.fit(each).astype(np.float32) for each in batch]
        return torch.from_numpy(np.stack(fitted))

    shape = samples.rows.shape if one is None else (*samples.rows.shape[:-1], one.length)
    return gathered(shape, gather)
