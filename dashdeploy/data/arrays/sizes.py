"""Series that differ in size by so much that most are flat beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dashdeploy.data.arrays.lengths import known_mean

FLAT_RATIO = 30.0
"""Of the deviation of all values to that of the middle series: from there on, half of the series are almost flat."""
FEWEST_VALUES = 8
"""Of the middle series: with fewer, scaled by itself, it has hardly a shape."""
MOST_SERIES = 5000
"""Of so many, spread over the data, it is found out."""


_FLAT = f"half of the series vary by less than 1/{FLAT_RATIO:g} of the deviation of all, so each is scaled by itself"
SAID_OF_SIZES = {
    "sizes": f"{_FLAT}, and its level and size are further channels (`normalize=sizes`)",
    "samples": f"{_FLAT}; its level and size say nothing of its class, and are left out (`normalize=samples`)",
}
"""What is to be said of how series are scaled that differ in size, by `normalize`."""


def differ_in_size(series: Sequence[npt.NDArray[np.floating]]) -> bool:
    """Whether half of the series would be almost flat beside the others if all were scaled alike.

    Their shape is then too small to be seen by a network: of the appliances of PLAID it learned less than half as
    many as with each series scaled by itself.

    Args:
        series: of the training data, each [channels, its length].
    """
    looked_at = series[:: -(-len(series) // MOST_SERIES)]
    if np.median([each.shape[1] for each in looked_at]) < FEWEST_VALUES:
        return False
    middle = np.median([_known_deviation(each) for each in looked_at], axis=0)
    whole = _known_deviation(np.concatenate(looked_at, axis=1))
    return bool((middle > 0).all() and np.median(whole / middle) >= FLAT_RATIO)


def _known_deviation(series: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Of every channel of [channels, length], over the values that are not NaN; 0 where all are."""
    return np.asarray(np.sqrt(known_mean([(series - known_mean([series])[:, None]) ** 2])))
