"""NaN at the end of series is padding, NaN inside is missing."""

import numpy as np
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from dashdeploy.data.arrays.lengths import HowLengths, padded_lengths, said_of_lengths
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.errors import InputError


def padded(count=20, channels=2, longest=9):
    """Series of 4, 5, … 9 values as tslearn pads them, and their lengths."""
    x = np.random.default_rng(count).standard_normal((count, channels, longest))
    lengths = 4 + np.arange(count) % (longest - 3)
    for series, length in zip(x, lengths, strict=True):
        series[:, length:] = np.nan
    return x, lengths


def arrays(**changes):
    return {
        "x_train": padded()[0], "y_train": np.arange(20) % 2,
        "x_test": padded(9)[0], "y_test": np.arange(9) % 2, **changes,
    }  # fmt: skip


def test_lengths_are_found():
    x, lengths = padded()
    found = padded_lengths({"train": x, "test": x[:1]})
    np.testing.assert_array_equal(found["train"], lengths)
    np.testing.assert_array_equal(padded_lengths({"train": x[:, 0]})["train"], lengths)
    x[3, 0, lengths[3] - 1] = np.nan  # another channel has a value: no padding
    assert padded_lengths({"train": x})["train"][3] == lengths[3]
    assert padded_lengths({"train": x[lengths == 9]}) is None
    assert padded_lengths({"train": np.full((2, 3, 4), np.nan)})["train"].tolist() == [4, 4]
    assert padded_lengths({"train": np.zeros((2, 3, 4), int)}) is None


def test_padding_takes_the_mean_over_the_training_data():
    given = arrays()
    task = load_data(given)
    mean = np.nanmean(given["x_train"], axis=(0, 2))
    whole = np.where(np.isnan(given["x_test"]), mean[None, :, None], given["x_test"])
    np.testing.assert_allclose(task.test.inputs.numpy(), whole, rtol=1e-5)  # float32
    assert task.notes == (
        "NaN at the end of x_train is padding",
        "the series have 4 to 9 values; shorter ones are filled with each channel's mean over the training data "
        "(`lengths=pad`)",
    )
    resampled = load_data(given, options=DataOptions(lengths="resample")).test.inputs.numpy()
    expected = np.interp(np.linspace(0, 3, 9), np.arange(4), given["x_test"][0, 1, :4])
    np.testing.assert_allclose(resampled[0, 1], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("lengths", "part"),
    [([2, 2, 3, 13], "62%"), ([1, 100], ""), ([5, 5, 5, 20], "56%"), ([7, 7], "")],
)
def test_much_padding_is_said(lengths, part):
    """One long series makes padding of most of all others: 1 - 5 / 13 is 62%, and half is not most."""
    splits = {"train": np.array(lengths), "test": np.array([1])}
    said = said_of_lengths(splits, HowLengths("pad", cuts=False))
    assert (f"{part} of the training data is padding" in said) == bool(part)
    assert "padding" not in said_of_lengths(splits, HowLengths("resample"))


@forall(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.booleans())
def test_the_longest_are_cut_only_where_most_would_be_padding(lengths, cuts):
    most = np.mean(lengths) < max(lengths) / 2
    found = HowLengths("pad", cuts=cuts).length(lengths)
    if most and cuts:
        # The least of the lengths that 98 % do not exceed, by trying every one.
        assert found == min(
            each for each in lengths if 50 * sum(other <= each for other in lengths) >= 49 * len(lengths)
        )
    else:
        assert found == max(lengths)
    assert HowLengths("resample", cuts=cuts).length(lengths) == max(lengths)


def test_one_long_series_does_not_make_all_long():
    generator = np.random.default_rng(0)
    x = np.full((100, 1, 700), np.nan)
    x[:, :, :20] = generator.standard_normal((100, 1, 20))
    x[3] = generator.standard_normal((1, 700))
    given = {"x_train": x, "y_train": np.arange(100) % 2, "x_test": x[:8], "y_test": np.arange(8) % 2}
    cut = load_data(given)
    assert cut.input_shape == (1, 20)
    np.testing.assert_array_equal(cut.test.inputs[3], x[3, :, :20].astype(np.float32))
    (note,) = (each for each in cut.notes if "values;" in each)
    assert note == (
        "the series have 20 to 700 values; the longest are cut after 20 values, the most of 98% of the training "
        "series (`lengths=pad` cuts none); shorter ones are filled with each channel's mean over the training data"
    )
    assert load_data(given, options=DataOptions(lengths="pad")).input_shape == (1, 700)


def test_inside_is_missing():
    given = arrays()
    given["x_train"][5, 1, 1] = np.nan
    with pytest.raises(InputError, match=r"x_train holds 1 values that are NaN .* index \[5, 1, 1\]"):
        load_data(given)
    given["x_test"][1, 1, 1] = np.nan
    task = load_data(given, options=DataOptions(missing="interpolate"))
    before, after = given["x_test"][1, 1, [0, 2]]
    np.testing.assert_allclose(task.test.inputs[1, 1, 1], (before + after) / 2, rtol=1e-5)
    assert "missing values (2 in 2 samples) are interpolated" in task.notes
    mean = np.nanmean(given["x_train"], axis=(0, 2))
    assert abs(float(task.test.inputs[0, 0, 8]) - mean[0]) < 1e-5  # padding still is padding


def test_splits_that_were_padded_by_themselves():
    given = arrays(x_test=padded(9, longest=7)[0])
    task = load_data(given)
    assert task.test.inputs.shape == (9, 2, 9)
    np.testing.assert_array_equal(task.test.inputs[0, :, :4], given["x_test"][0, :, :4].astype(np.float32))
    whole = arrays(x_train=np.random.default_rng(0).standard_normal((20, 2, 6)))
    assert load_data(whole).test.inputs.shape == (9, 2, 6)  # longer than any training series: cut
    same = arrays(x_train=np.zeros((20, 2, 9)))
    with pytest.raises(InputError, match=r"x_test holds .* values that are NaN"):
        load_data(same)


def test_padding_behind_every_series_is_cut():
    given = {name: np.pad(x, ((0, 0), (0, 0), (0, 3)), constant_values=np.nan) if name[0] == "x" else x
             for name, x in arrays().items()}  # fmt: skip
    assert load_data(given).input_shape == (2, 9)


def test_a_test_part_of_padded_series():
    x, lengths = padded(40)
    task = load_data({"X": x, "y": np.arange(40) % 2})
    assert task.input_shape == (2, 9)
    by_start = {np.float32(each[0, 0]): (each, length) for each, length in zip(x, lengths, strict=True)}
    for row in task.test.inputs.numpy():
        each, length = by_start[row[0, 0]]
        np.testing.assert_array_equal(row[:, :length], each[:, :length].astype(np.float32))
