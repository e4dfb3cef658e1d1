"""Series of several lengths brought to one, since a convolutional network is exported for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from dashdeploy.data.readers.ts_format import Series


def to_one_length(
    train: Sequence[Series], test: Sequence[Series], how: Literal["pad", "resample"]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bring all series to the length of the longest training series; if all have it, nothing happens.

    Args:
        train: training series, each [channels, its length].
        test: test series.
        how: ``pad`` fills the end with the channel's mean over the training data (0 once that is scaled) and cuts
            what is longer; ``resample`` interpolates linearly between the first and the last value.

    Returns:
        Both as [n, channels, length].
    """
    length = max(series.shape[1] for series in train)
    mean = np.concatenate(train, axis=1).mean(1)

    def fit(series: Series) -> Series:
        have = series.shape[1]
        if have == length:
            return series
        if how == "pad":
            return np.concatenate([series, np.repeat(mean[:, None], max(0, length - have), axis=1)], 1)[
                :, :length
            ]
        at = np.linspace(0, have - 1, length)
        return np.stack([np.interp(at, np.arange(have), channel) for channel in series])

    return np.stack([fit(each) for each in train]), np.stack([fit(each) for each in test])
