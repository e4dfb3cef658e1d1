"""The standard error of a paired difference, against the formulas that hold where there are any."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.data.losses import cross_entropy
from dashdeploy.data.metrics import metric_by_name
from dashdeploy.search.selection.paired_difference import (
    Figure,
    difference,
    figure_of,
    groups_of,
    standard_error,
)
from dashdeploy.search.training.evaluate import metric_of


def mean_of(values):
    return figure_of(lambda some, _: float(some.mean()), torch.from_numpy(values), torch.zeros(len(values)))


@given(st.integers(2, 20), st.integers(0, 9))
def test_of_a_mean_and_groups_of_one_it_is_the_textbooks(count, seed):
    generator = np.random.default_rng(seed)
    a, b = generator.standard_normal((2, count))
    expected = np.std(a - b, ddof=1) / math.sqrt(count)
    assert standard_error([mean_of(a)], [mean_of(b)]) == pytest.approx(expected, rel=1e-9)
    assert difference([mean_of(a)], [mean_of(b)]) == pytest.approx((a - b).mean(), abs=1e-12)


@pytest.mark.parametrize("count", [60, 67])
def test_of_even_groups_it_is_that_of_the_groups_means(count):
    a, b = np.random.default_rng(1).standard_normal((2, count))
    groups = groups_of(count).numpy()
    without = np.array([(a - b)[groups != each].mean() for each in range(20)])
    expected = math.sqrt(19 / 20 * np.square(without - without.mean()).sum())
    found = standard_error([mean_of(a)], [mean_of(b)])
    assert found == pytest.approx(expected, rel=1e-9)
    if count == 60:
        means = np.array([(a - b)[groups == each].mean() for each in range(20)])
        assert found == pytest.approx(np.std(means, ddof=1) / math.sqrt(20), rel=1e-9)


def test_it_is_the_spread_of_what_is_estimated():
    """Of many data sets: their differences spread by what the jackknife says of each, on average."""
    generator = np.random.default_rng(0)
    pairs = [(generator.standard_normal(200), generator.standard_normal(200)) for _ in range(200)]
    found = [standard_error([mean_of(a)], [mean_of(a * 0.9 + b * 0.1)]) for a, b in pairs]
    spread = np.std([(a - (a * 0.9 + b * 0.1)).mean() for a, b in pairs])
    assert np.mean(found) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(
    ("name", "kind"), [("f1", "classification"), ("auroc", "classification"), ("r2", "regression")]
)
def test_of_any_metric_it_is_that_of_a_bootstrap(name, kind):
    """Another method for the same number, with 400 resamplings: within a quarter."""
    generator = torch.Generator().manual_seed(0)
    count, outputs = 400, 3 if kind == "classification" else 1
    if kind == "classification":
        targets = torch.randint(3, (count,), generator=generator)
        signal = torch.nn.functional.one_hot(targets).float()
    else:
        targets = signal = torch.randn(count, 1, generator=generator)
    a, b = (signal + torch.randn(signal.shape, generator=generator) for _ in range(2))
    metric = metric_by_name(kind, outputs, name)

    def compute(some, of):
        return metric_of(metric, iter([(some, of)]))

    found = standard_error([figure_of(compute, a, targets)], [figure_of(compute, b, targets)])
    drawn = [torch.randint(count, (count,), generator=generator) for _ in range(400)]
    spread = np.std([compute(a[i], targets[i]) - compute(b[i], targets[i]) for i in drawn], ddof=1)
    assert found == pytest.approx(spread, rel=0.25)


def test_dense_outputs():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(30, 4, 8, generator=generator)
    targets = torch.randint(4, (30, 8), generator=generator)
    found = figure_of(lambda *some: float(cross_entropy(*some)), outputs, targets)
    kept = groups_of(30) != 7
    expected = torch.nn.functional.cross_entropy(outputs[kept], targets[kept])
    assert found.without[7] == pytest.approx(float(expected))
    assert len(found.without) == 20


def test_several_trainings_that_disagree_are_less_sure_than_their_samples():
    a = [Figure(value=value, without=(value, value)) for value in (0.9, 0.7, 0.8)]
    b = [Figure(value=0.7, without=(0.7, 0.7))] * 3
    # Differences of 0.2, 0 and 0.1, within each of which the samples agree.
    assert standard_error(a, b) == pytest.approx(0.1 / math.sqrt(3))
    assert difference(a, b) == pytest.approx(0.1)


def test_trainings_on_different_samples_add_up_to_one_on_all():
    """The same samples in one training and in three of 20: as sure, but for the trainings' own differences."""
    a, b = np.random.default_rng(3).standard_normal((2, 60))
    parts = [slice(0, 20), slice(20, 40), slice(40, 60)]
    thirds = [[mean_of(values[part]) for part in parts] for values in (a, b)]
    squares = [np.var((a - b)[part], ddof=1) / 20 for part in parts]
    between = np.std([(a - b)[part].mean() for part in parts], ddof=1) / math.sqrt(3)
    assert standard_error(*thirds) == pytest.approx(max(math.sqrt(sum(squares)) / 3, between), rel=1e-9)


def test_nothing_can_be_said_of_one_sample_or_of_what_is_no_number():
    one = mean_of(np.array([1.0]))
    assert one.without == ()
    assert standard_error([one], [one]) == math.inf
    assert standard_error([one, one], [one, one]) == 0  # but of two trainings it can
    lost = mean_of(np.array([1.0, math.nan]))
    assert standard_error([lost], [mean_of(np.array([1.0, 1.0]))]) == math.inf


@given(st.integers(2, 100))
def test_groups_are_even_and_always_the_same(count):
    groups = groups_of(count)
    sizes = groups.bincount()
    assert len(sizes) == min(20, count) and int(sizes.max() - sizes.min()) <= 1
    assert torch.equal(groups, groups_of(count))
