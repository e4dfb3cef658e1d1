"""The test part of data that come without one."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashdeploy.data.arrays.splitting import chosen_for_test
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data

COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(COUNTS, st.integers(0, 5))
@example([1] * 9, 0)
@example([1] * 9 + [2], 0)
def test_a_fifth_of_every_class(counts, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    chosen = chosen_for_test(classes, len(classes), seed)
    of_class = np.bincount(classes[chosen], minlength=len(counts))
    for held, members in zip(of_class, counts, strict=True):
        assert members // 5 <= held <= min(members // 5 + 1, members - 1) or (members == 1 and held == 0)
    able = sum(members // 5 + (members > 1) for members in counts)
    assert chosen.sum() == min(round(0.2 * len(classes)), able)
    np.testing.assert_array_equal(chosen, chosen_for_test(classes, len(classes), seed))


def test_the_seed_chooses():
    classes = np.arange(100) % 4
    first, other = (chosen_for_test(classes, 100, seed) for seed in (0, 1))
    assert (first != other).any()
    assert np.bincount(classes[first]).tolist() == np.bincount(classes[other]).tolist() == [5, 5, 5, 5]
    assert chosen_for_test(None, 100, 0).sum() == 20


def test_two_of_each_class_leave_one_to_train():
    classes = np.repeat(np.arange(10), 2)
    chosen = chosen_for_test(classes, 20, 0)
    assert chosen.sum() == 4
    assert set(classes[~chosen]) == set(range(10))


KINDS = {
    "classification": ({"y": np.arange(30) % 3}, "stratified"),
    "regression": ({"y": np.arange(30) / 7}, "random"),
    "multi-label": ({"y": np.arange(60).reshape(30, 2) % 2}, "random"),
}


@pytest.mark.parametrize(("kind", "expected"), [(kind, KINDS[kind]) for kind in KINDS], ids=KINDS)
def test_it_is_recorded_and_said_once(kind, expected):
    arrays = {"X": np.arange(60.0).reshape(30, 2), **expected[0]}
    task = load_data(arrays, seed=4, options=DataOptions(predict=kind))
    assert len(task.test.targets) == 6
    assert task.source["test_split"] == f"20% of the samples, {expected[1]}, seed 4"
    (note,) = [each for each in task.notes if "test part" in each]
    assert task.source["test_split"] in note
    again, other = (load_data(arrays, seed=seed, options=DataOptions(predict=kind)) for seed in (4, 5))
    assert (again.test.inputs == task.test.inputs).all()
    assert not (other.test.inputs == task.test.inputs).all()


def test_scaling_and_filling_do_not_see_the_test_part():
    arrays = {"X": np.random.default_rng(0).standard_normal((40, 1, 4)), "y": np.arange(40) % 2}
    task = load_data(arrays)
    tests = {float(each) for each in task.test.inputs[:, 0, 0]}
    arrays["X"][[np.float32(each[0, 0]) in tests for each in arrays["X"]]] += 1000
    arrays["X"][:, 0, 3] = np.where(np.arange(40) % 3 == 0, np.nan, arrays["X"][:, 0, 3])
    arrays["X"][0] = np.nan  # takes the mean
    changed = load_data(arrays, options=DataOptions(missing="mean", normalize="channels"))
    assert abs(changed.scaling.inputs.mean[0]) < 1  # a thousand would show
    assert changed.test.inputs.max() > 500
