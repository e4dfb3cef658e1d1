"""Series that differ in size by so much that most are flat beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dashdeploy.data.arrays.lengths import known_mean

FLAT_RATIO = 30.0
"""Of the deviation of all values to that of the middle series: from there on, half of the series are almost flat."""
MOST_SERIES = 5000
"""Of so many, spread over the data, it is found out."""


def said_of_sizes(series: Sequence[npt.NDArray[np.floating]]) -> str:
    """What is to be said where half of the series would be almost flat beside the others; mostly nothing.

    Scaled by channel, their shape is too small to be seen by a network: of the appliances of PLAID it learned less
    than half as many as with each series scaled by itself.

    Args:
        series: of the training data, each [channels, its length].
    """
    looked_at = series[:: -(-len(series) // MOST_SERIES)]
    middle = np.median([_known_deviation(each) for each in looked_at], axis=0)
    whole = _known_deviation(np.concatenate(looked_at, axis=1))
    if not (middle > 0).all() or np.median(whole / middle) < FLAT_RATIO:
        return ""
    return (
        f"half of the series vary by less than 1/{FLAT_RATIO:g} of the deviation of all: if their level and size say "
        "little, take `normalize=samples`"
    )


def _known_deviation(series: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Of every channel of [channels, length], over the values that are not NaN; 0 where all are."""
    return np.asarray(np.sqrt(known_mean([(series - known_mean([series])[:, None]) ** 2])))
