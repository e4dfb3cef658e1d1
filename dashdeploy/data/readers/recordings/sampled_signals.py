"""Recordings of several sampling rates and lengths, as arrays of one shape whose rows are read from their files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dashdeploy.data.arrays.lengths import HowLengths, OneLength, known_mean
from dashdeploy.data.arrays.stored import StoredArray

Signal = npt.NDArray[np.float32]


class Recording(NamedTuple):
    """What is known of a recording before it is read.

    Attributes:
        read: gives [channels, length]; unknown values are NaN.
        channels: their number, the same for all.
        length: samples of each channel.
        rate: in Hz.
    """

    read: Callable[[], Signal]
    channels: int
    length: int
    rate: float


def stored_signals(
    splits: Mapping[str, Sequence[Recording]], how: HowLengths
) -> tuple[dict[str, StoredArray], tuple[str, ...]]:
    """All recordings at the rate that most training recordings have, and at one length.

    Args:
        splits: by name; ``train`` is among them.
        how: says which length, and what becomes of others.

    Returns:
        [n, channels, length], float32, by split, and what is to be said, a line each.
    """
    rates = Counter(each.rate for each in splits["train"])
    rate = max(rates, key=lambda each: (rates[each], each))
    notes: list[str] = []
    every = [each for split in splits.values() for each in split]
    others = Counter(each.rate for each in every if each.rate != rate)
    if others:
        listed = ", ".join(f"{each:g} Hz: {count}" for each, count in sorted(others.items()))
        notes.append(
            f"{others.total()} of {len(every)} recordings are resampled to {rate:g} Hz, the rate of most training "
            f"recordings ({listed})"
        )
    of_train = [resampled_length(each.length, each.rate, rate) for each in splits["train"]]
    length = how.length(of_train)
    lengths = [resampled_length(each.length, each.rate, rate) for each in every]
    needs_mean = how.by == "pad" and not how.own_mean and min(lengths) < length
    mean = known_mean(_at_rate(each, rate) for each in splits["train"]) if needs_mean else np.zeros(0)
    if set(lengths) != {length}:
        said = how.said(of_train)
        notes.append(f"recordings have {min(lengths)} to {max(lengths)} values and get {length}; {said}")
    one = OneLength(length, how, mean)
    return {name: _stored(split, rate, one) for name, split in splits.items()}, tuple(notes)


def _stored(recordings: Sequence[Recording], rate: float, one: OneLength) -> StoredArray:
    def read(rows: Sequence[int]) -> npt.NDArray[np.float32]:
        return np.stack([one.fit(_at_rate(recordings[row], rate)).astype(np.float32) for row in rows])

    return StoredArray((len(recordings), recordings[0].channels, one.length), np.dtype(np.float32), read)


def _at_rate(recording: Recording, rate: float) -> Signal:
    return resampled(recording.read(), recording.rate, rate)


def resampled_length(length: int, rate: float, wanted: float) -> int:
    """Values that `resampled` gives for so many."""
    up, down = _ratio(rate, wanted)
    return -(-length * up // down)


def resampled(signal: Signal, rate: float, wanted: float) -> Signal:
    """`signal` [channels, length] of `rate` at the rate `wanted`, by the filter of ``scipy.signal.resample_poly``.

    Unknown values would spread as far as the filter reaches: lines are drawn through them, and what lies nearest to
    one is unknown afterwards.
    """
    up, down = _ratio(rate, wanted)
    if up == down:
        return signal
    from scipy.signal import resample_poly

    unknown = np.isnan(signal)
    whole = signal.astype(np.float64)
    at = np.arange(signal.shape[1])
    for channel, gaps in zip(whole, unknown, strict=True):
        if gaps.any():
            channel[gaps] = np.interp(at[gaps], at[~gaps], channel[~gaps]) if not gaps.all() else 0.0
    # "line" takes a straight line off first: the filter would else ring at ends that are far from 0.
    found: Signal = resample_poly(whole, up, down, axis=1, padtype="line").astype(np.float32)
    if unknown.any():
        nearest = np.minimum(np.round(np.arange(found.shape[1]) * down / up).astype(int), signal.shape[1] - 1)
        found[unknown[:, nearest]] = np.nan
    return found


def _ratio(rate: float, wanted: float) -> tuple[int, int]:
    """Up and down by whole numbers: rates in thousandths of a hertz."""
    up, down = round(wanted * 1000), round(rate * 1000)
    common = math.gcd(up, down)
    return up // common, down // common
