"""Series of several lengths, brought to that of the longest training series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.floating]


class OneLength(NamedTuple):
    """How a series comes to the one length.

    Attributes:
        length: of the longest training series.
        how: ``pad`` fills the end with the channel's mean over the training data (0 once that is scaled) and cuts
            what is longer; ``resample`` interpolates linearly between the first and the last value.
        mean: of every channel over the training data, if it is needed.
    """

    length: int
    how: Literal["pad", "resample"]
    mean: npt.NDArray[np.float64]

    def fit(self, series: Series) -> Series:
        """`series` [channels, its length] as [channels, `length`]."""
        have = series.shape[1]
        if have == self.length:
            return series
        if self.how == "pad":
            missing = max(0, self.length - have)
            return np.concatenate([series, np.repeat(self.mean[:, None], missing, axis=1)], 1)[
                :, : self.length
            ]
        at = np.linspace(0, have - 1, self.length)
        return np.stack([np.interp(at, np.arange(have), channel) for channel in series])


def to_one_length(
    train: Sequence[Series], test: Sequence[Series], how: Literal["pad", "resample"]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bring all series to the length of the longest training series; if all have it, nothing happens.

    Args:
        train: training series, each [channels, its length].
        test: test series.
        how: see `OneLength`.

    Returns:
        Both as [n, channels, length].
    """
    length = max(series.shape[1] for series in train)
    one = OneLength(length, how, np.concatenate(train, axis=1).mean(1))
    return np.stack([one.fit(each) for each in train]), np.stack([one.fit(each) for each in test])


def known_mean(series: Iterable[Series]) -> npt.NDArray[np.float64]:
    """Mean of every channel over all values that are known, of series that are read one by one."""
    total: npt.NDArray[np.float64] | float = 0.0
    count: npt.NDArray[np.int64] | int = 0
    for each in series:
        total = total + np.nansum(each, axis=1, dtype=np.float64)
        count = count + (~np.isnan(each)).sum(axis=1)
    mean: npt.NDArray[np.float64] = np.asarray(total / np.maximum(count, 1), np.float64)
    return mean
