"""Series of several lengths: NaN at their ends in arrays, and the one length that a network takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import Array

MUCH_PADDING = 0.5
"""The part of the training data that may be padding without a word."""
KEPT_WHOLE = 0.98
"""The part of the training series that stay whole where the longest are cut."""

Series = npt.NDArray[np.floating]
Lengths = Mapping[str, npt.NDArray[np.int64]]


class HowLengths(NamedTuple):
    """How series of several lengths come to one.

    Attributes:
        by: ``pad`` fills the end of shorter ones with each channel's mean and cuts what is longer; ``resample``
            interpolates linearly between the first and last value.
        own_mean: whether that is the mean over the series itself, so that it is 0 once the series is scaled by
            itself. Otherwise it is the mean over the training data, which is 0 once all are scaled alike.
        cuts: whether padding may cut training series, so that a few long ones do not make all others mostly padding.
    """

    by: Literal["pad", "resample"] = "pad"
    own_mean: bool = False
    cuts: bool = True

    def length(self, lengths: Sequence[int] | npt.NDArray[np.int64]) -> int:
        """The one length, of the `lengths` of the training series.

        It is the longest. If most of the data would be padding, and series may be cut, it is the least that
        `KEPT_WHOLE` of the series do not exceed.
        """
        longest = int(np.max(lengths))
        if self.by == "resample" or not self.cuts or _padding(lengths, longest) <= MUCH_PADDING:
            return longest
        return int(np.sort(lengths)[math.ceil(KEPT_WHOLE * len(lengths)) - 1])

    def said(self, lengths: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """What becomes of series with the training series' `lengths`, words of a line."""
        if self.by == "resample":
            return "all are interpolated to the longest training series (`lengths=resample`)"
        length, longest = self.length(lengths), int(np.max(lengths))
        filled = (
            "their own mean, channel by channel"
            if self.own_mean
            else "each channel's mean over the training data"
        )
        cut = ""
        if length < longest:
            cut = (
                f"the longest are cut after {length} values, the most of {KEPT_WHOLE:.0%} of the training "
                "series (`lengths=pad` cuts none); "
            )
        said = f"{cut}shorter ones are filled with {filled}" + ("" if cut else " (`lengths=pad`)")
        part = _padding(lengths, length)
        if part > MUCH_PADDING:
            said += f"; {part:.0%} of the training data is padding then"
            said += "" if cut else ", so cut the longest series, or use `lengths=resample`"
        return said


def _padding(lengths: Sequence[int] | npt.NDArray[np.int64], length: int) -> float:
    """The part of the training data that is padding if all have one `length`."""
    return 1 - float(np.minimum(lengths, length).mean()) / max(1, length)


def padded_lengths(arrays: Mapping[str, Array]) -> Lengths | None:
    """How long each series is without the NaN at its end, as tslearn, sktime and the UCR archive pad.

    NaN is padding from where on no channel has a value. Where the training data have none of it, and all splits one
    length, NaN at the end of a series is a missing value like any other.

    Args:
        arrays: inputs by split, [n, length] or [n, channels, length]; ``train`` is among them.

    Returns:
        Lengths by split; None if nothing is padding. A series without any value keeps its length.
    """
    one_length = len({array.shape[-1:] for array in arrays.values()}) == 1
    looked_at = [arrays["train"]] if one_length else arrays.values()
    if not any(is_padded(array) for array in looked_at):
        return None
    return {name: known_lengths(array) for name, array in arrays.items()}


def is_padded(array: Array) -> bool:
    """Whether a series among inputs [n, length] or [n, channels, length] ends without a value in any channel."""
    if array.ndim not in (2, 3) or array.dtype.kind != "f" or not array.size:
        return False
    return bool(_no_value(array[..., -1:]).any())


def _no_value(array: Array) -> Array:
    """Where [n, length] no channel has a value."""
    gaps = np.isnan(array)
    return np.asarray(gaps.all(axis=1) if array.ndim == 3 else gaps)


def known_lengths(array: Array) -> npt.NDArray[np.int64]:
    """How long each series of [n, length] or [n, channels, length] is without NaN at its end in all channels."""
    if array.dtype.kind != "f" or array.ndim not in (2, 3):
        return np.full(len(array), array.shape[-1])
    known = ~_no_value(array)
    length = known.shape[1]
    lengths = np.where(known.any(axis=1), length - np.argmax(known[:, ::-1], axis=1), length)
    return np.asarray(lengths, np.int64)


def without_padding(array: Array, lengths: npt.NDArray[np.int64], longest: int) -> Array:
    """A copy of that length with 0 behind the end of each series, so that what is NaN still is missing."""
    array = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, longest - array.shape[-1])])
    behind = np.arange(longest) >= lengths[:, None]
    return np.where(behind[:, None] if array.ndim == 3 else behind, np.zeros((), array.dtype), array)


def said_of_lengths(lengths: Lengths, how: HowLengths) -> str:
    """What is to be said of padding, a line."""
    shortest = min(int(each.min()) for each in lengths.values() if len(each))
    longest = max(int(each.max()) for each in lengths.values() if len(each))
    if shortest == longest:
        return f"the series have {longest} values each"
    return f"the series have {shortest} to {longest} values; {how.said(lengths['train'])}"


def stacked(series: Sequence[Series]) -> npt.NDArray[np.float64]:
    """Series of several lengths in one array, [n, channels, the longest], NaN behind their ends.

    Args:
        series: each [channels, its length].
    """
    array = np.full((len(series), len(series[0]), max(each.shape[1] for each in series)), np.nan)
    for row, each in zip(array, series, strict=True):
        row[:, : each.shape[1]] = each
    return array


def all_to_one_length(splits: Mapping[str, Sequence[Series]], how: HowLengths) -> dict[str, Series]:
    """Bring all series to one length; if all have it, nothing happens.

    Args:
        splits: series by split, each [channels, its length]; ``train`` is among them.
        how: says which length, and what becomes of others.

    Returns:
        Each split as [n, channels, length].
    """
    length = how.length([series.shape[1] for series in splits["train"]])
    one = OneLength(length, how, known_mean(splits["train"]))
    return {name: np.stack([one.fit(each) for each in split]) for name, split in splits.items()}


class OneLength(NamedTuple):
    """How a series comes to the one length.

    Attributes:
        length: what `how.length` says.
        how: what becomes of other lengths.
        mean: of every channel over the training data; used to pad with it.
    """

    length: int
    how: HowLengths
    mean: npt.NDArray[np.float64]

    def fit(self, series: Series) -> Series:
        """`series` [channels, its length] as [channels, `length`]."""
        have = series.shape[1]
        if have == self.length:
            return series
        if self.how.by != "resample":
            series = series[:, : self.length]
            # A channel without any known value stays without.
            mean = known_mean([series], unknown=np.nan) if self.how.own_mean else self.mean
            missing = max(0, self.length - have)
            return np.concatenate([series, np.repeat(mean[:, None], missing, axis=1)], 1)
        at = np.linspace(0, have - 1, self.length)
        return np.stack([np.interp(at, np.arange(have), channel) for channel in series])


def known_mean(series: Iterable[Series], unknown: float = 0.0) -> npt.NDArray[np.float64]:
    """Mean of every channel over all values that are known, of series that may come one by one; else `unknown`."""
    total: npt.NDArray[np.float64] | float = 0.0
    count: npt.NDArray[np.int64] | int = 0
    for each in series:
        total = total + np.nansum(each, axis=1, dtype=np.float64)
        count = count + (~np.isnan(each)).sum(axis=1)
    mean: npt.NDArray[np.float64] = np.where(count == 0, unknown, total / np.maximum(count, 1))
    return mean
