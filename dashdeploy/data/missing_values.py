"""Missing values: interpolated along the series, or the channel's mean over the training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np

from dashdeploy.data.checks import Array, refuse

Missing = Literal["interpolate", "mean", "refuse"]
Filler = Callable[[Array], Array]
"""Gives a sample [channels, …] without NaN, the sample itself if nothing is missing."""


def fill_missing(
    where: object, splits: Mapping[str, Sequence[Array]], how: Literal["interpolate", "mean"]
) -> tuple[dict[str, list[Array]], tuple[str, ...]]:
    """Give values to what is NaN.

    Between two known values, ``interpolate`` draws a straight line; before the first and behind the last it repeats
    these. A channel that misses all of a series gets its mean, as with ``mean``.

    Args:
        where: the file, for the message.
        splits: samples by split, each [channels, …]. ``train`` is among them; means are over all its samples, those
            that are held out later included.
        how: what becomes of missing values.

    Returns:
        The splits without NaN, and what is to be said, a line; nothing where nothing is missing.

    Raises:
        InputError: a mean is needed of a channel of which the training data have no value.
    """
    fill, notes = gap_filler(where, splits, how)
    if fill is None:
        return {name: list(split) for name, split in splits.items()}, ()
    return {name: [fill(sample) for sample in split] for name, split in splits.items()}, notes


def gap_filler(
    where: object, splits: Mapping[str, Iterable[Array]], how: Literal["interpolate", "mean"]
) -> tuple[Filler | None, tuple[str, ...]]:
    """What `fill_missing` does to a sample, for splits that do not fit in memory; each is gone through twice at most.

    Returns:
        What fills a sample, or None if nothing is missing anywhere; and what is to be said, a line.

    Raises:
        InputError: as `fill_missing`.
    """
    series = values = 0
    for split in splits.values():
        for sample in split:
            missing = int(np.isnan(sample).sum())
            series, values = series + bool(missing), values + missing
    if not series:
        return None, ()
    means = _means(splits["train"])
    become = (
        "are interpolated" if how == "interpolate" else "become their channel's mean over the training data"
    )
    if np.isnan(means).any():
        which = f"channel {int(np.isnan(means).argmax()) + 1} of {len(means)}"
        refuse(where, f"{which} has no value in the training data", "leave this channel out")
    return partial(_filled, how, means), (f"missing values ({values} in {series} samples) {become}",)


def _means(samples: Iterable[Array]) -> Array:
    """Mean of each channel over the values that are known, NaN where there are none."""
    totals: Array | float = 0.0
    counts: Array | int = 0
    for sample in samples:
        flat = sample.reshape(len(sample), -1)
        totals = totals + np.nansum(flat, axis=1, dtype=np.float64)
        counts = counts + (~np.isnan(flat)).sum(axis=1)
    means: Array = np.where(np.asarray(counts) > 0, totals / np.maximum(counts, 1), np.nan)
    return means


def _filled(how: Literal["interpolate", "mean"], means: Array, sample: Array) -> Array:
    if not np.isnan(sample).any():
        return sample
    sample = sample.copy()
    for index, channel in enumerate(sample):
        gaps = np.isnan(channel)
        if how == "interpolate" and gaps.any() and not gaps.all():
            known = (~gaps).nonzero()[0]
            channel[gaps] = np.interp(gaps.nonzero()[0], known, channel[known])
        else:
            channel[gaps] = means[index]
    return sample
