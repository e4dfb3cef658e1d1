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
        ([each[:, :7] for each in of_sizes(0.01, 0.01, 0.01, 1)], False),  # hardly series
    ],
)
def test_series_that_would_be_almost_flat_beside_others_are_scaled_by_themselves(series, differ):
    assert differ_in_size(series) == differ


@pytest.mark.parametrize("classes_by_size", [False, True])
@pytest.mark.parametrize("spread", [0.5, 6.0])
def test_level_and_size_are_further_channels_where_they_tell_the_classes(spread, classes_by_size):
    generator = np.random.default_rng(0)
    sizes = 10 ** (spread * (generator.random(60) - 0.5))
    x = np.stack(of_sizes(*sizes))
    y = (sizes > 1).astype(int) if classes_by_size else generator.integers(0, 2, 60)
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    task = task_from_arrays("sizes", "sizes.npz", arrays)
    how = None if spread < 1 else "sizes" if classes_by_size else "samples"
    assert [each for each in SAID_OF_SIZES if SAID_OF_SIZES[each] in task.notes] == ([how] if how else [])
    assert (bool(task.scaling.sizes), task.scaling.per_sample) == (how == "sizes", how == "samples")
    assert (task.input_shape, task.given_shape) == ((6 if how == "sizes" else 2, 50), (2, 50))
    for normalize in ("channels", "samples", "sizes"):
        asked = task_from_arrays("sizes", "sizes.npz", arrays, DataOptions(normalize=normalize))
        assert not set(asked.notes) & set(SAID_OF_SIZES.values())
        assert (bool(asked.scaling.sizes), asked.scaling.per_sample) == (
            normalize == "sizes",
            normalize == "samples",
        )
