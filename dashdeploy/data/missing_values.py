"""Missing values: interpolated along the series, or the channel's mean over the training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from dashdeploy.data.checks import Array, refuse

Missing = Literal["interpolate", "mean", "refuse"]


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
    gaps = {
        name: [i for i, sample in enumerate(split) if np.isnan(sample).any()]
        for name, split in splits.items()
    }
    series = sum(map(len, gaps.values()))
    filled = {name: list(split) for name, split in splits.items()}
    if not series:
        return filled, ()
    values = sum(int(np.isnan(splits[name][i]).sum()) for name, found in gaps.items() for i in found)
    means = _means(splits["train"])
    for name, found in gaps.items():
        for i in found:
            filled[name][i] = _filled(where, filled[name][i], how, means)
    become = (
        "are interpolated" if how == "interpolate" else "become their channel's mean over the training data"
    )
    return filled, (f"missing values ({values} in {series} samples) {become}",)


def _means(samples: Sequence[Array]) -> Array:
    """Mean of each channel over the values that are known, NaN where there are none."""
    totals = np.zeros(len(samples[0]))
    counts = np.zeros(len(samples[0]), np.int64)
    for sample in samples:
        flat = sample.reshape(len(sample), -1)
        totals += np.nansum(flat, axis=1, dtype=np.float64)
        counts += (~np.isnan(flat)).sum(axis=1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _filled(where: object, sample: Array, how: Literal["interpolate", "mean"], means: Array) -> Array:
    sample = sample.copy()
    for index, channel in enumerate(sample):
        gaps = np.isnan(channel)
        if not gaps.any():
            continue
        if how == "interpolate" and not gaps.all():
            known = (~gaps).nonzero()[0]
            channel[gaps] = np.interp(gaps.nonzero()[0], known, channel[known])
        elif np.isnan(means[index]):
            which = f"channel {index + 1} of {len(sample)}"
            refuse(where, f"{which} has no value in the training data", "leave this channel out")
        else:
            channel[gaps] = means[index]
    return sample
