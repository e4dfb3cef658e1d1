"""Series that would be almost flat beside others."""

import numpy as np
import pytest

from dashdeploy.data.arrays.sizes import SAID_OF_SIZES, differ_in_size
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays


def of_sizes(*sizes, level=0.0):
    """Noise of the deviations `sizes`, in two channels of 50 values."""
    generator = np.random.default_rng(0)
    return [size * generator.standard_normal((2, 50)) + level for size in sizes]


@pytest.mark.parametrize(
    ("series", "differ"),
    [
        (of_sizes(1, 1, 1, 1), False),
        (of_sizes(0.01, 0.01, 0.01, 1), True),  # all together have a deviation of a half
        (of_sizes(0.1, 0.1, 0.1, 1), False),
        (of_sizes(1, 1, 1, 1, level=1000), False),
        ([*of_sizes(1, 1), *of_sizes(1, 1, level=1000)], True),  # 500 from the mean of all
        (
            [np.zeros((2, 50)), np.zeros((2, 50)), *of_sizes(1)],
            False,
        ),  # most are constant, as where spikes are rare
        ([np.full((2, 50), np.nan), *of_sizes(0.01, 0.01, 1)], True),
    ],
)
def test_series_that_would_be_almost_flat_beside_others_are_scaled_by_themselves(series, differ):
    assert differ_in_size(series) == differ
    arrays = {"x_train": np.stack(series * 5), "y_train": np.arange(5 * len(series)) % 2}
    if np.isfinite(arrays["x_train"]).all():
        arrays |= {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}
        for normalize in (None, "channels", "sizes"):
            task = task_from_arrays("sizes", "sizes.npz", arrays, DataOptions(normalize=normalize))
            assert (SAID_OF_SIZES in task.notes) == (differ and normalize is None)
            with_sizes = normalize == "sizes" or (differ and normalize is None)
            assert bool(task.scaling.sizes) == with_sizes
            assert (task.input_shape, task.given_shape) == ((6 if with_sizes else 2, 50), (2, 50))
