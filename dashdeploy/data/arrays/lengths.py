"""Series of several lengths: NaN at their ends in arrays, and the one length that a network takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import Array

MUCH_PADDING = 0.5
"""The part of the training data that may be padding without a word."""

Series = npt.NDArray[np.floating]
Lengths = Mapping[str, npt.NDArray[np.int64]]
HowLengths = Literal["pad", "pad-own", "resample"]


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
    become = {
        "pad": "shorter ones are filled with each channel's mean over the training data (`lengths=pad`)",
        "pad-own": "shorter ones are filled with their own mean, channel by channel (`lengths=pad`)",
        "resample": "all are interpolated to the longest training series (`lengths=resample`)",
    }[how]
    padding = "" if how == "resample" else said_of_padding(lengths["train"])
    return f"the series have {shortest} to {longest} values; {become}{padding}"


def said_of_padding(lengths: Sequence[int] | npt.NDArray[np.int64]) -> str:
    """What is to be added where most of the padded training data is padding; mostly nothing.

    Args:
        lengths: of the training series.
    """
    part = 1 - float(np.mean(lengths)) / max(1, int(np.max(lengths)))
    if part <= MUCH_PADDING:
        return ""
    return f"; {part:.0%} of the training data is padding then, so cut the longest series, or use `lengths=resample`"


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
    """Bring all series to the length of the longest training series; if all have it, nothing happens.

    Args:
        splits: series by split, each [channels, its length]; ``train`` is among them.
        how: ``pad`` fills the end with the channel's mean over the training data (0 once that is scaled) and cuts
            what is longer; ``pad-own`` fills it with the channel's mean over the series itself, so that this is 0
            once the series is scaled by itself; ``resample`` interpolates linearly between the first and last value.

    Returns:
        Each split as [n, channels, length].
    """
    length = max(series.shape[1] for series in splits["train"])
    one = OneLength(length, how, known_mean(splits["train"]))
    return {name: np.stack([one.fit(each) for each in split]) for name, split in splits.items()}


class OneLength(NamedTuple):
    """How a series comes to the one length.

    Attributes:
        length: of the longest training series.
        how: as for `all_to_one_length`.
        mean: of every channel over the training data; used to ``pad``.
    """

    length: int
    how: HowLengths
    mean: npt.NDArray[np.float64]

    def fit(self, series: Series) -> Series:
        """`series` [channels, its length] as [channels, `length`]."""
        have = series.shape[1]
        if have == self.length:
            return series
        if self.how != "resample":
            series = series[:, : self.length]
            # A channel without any known value stays without.
            mean = self.mean if self.how == "pad" else known_mean([series], unknown=np.nan)
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
