"""How right a model is: classes, labels, numbers; and what is none of these."""

import numpy as np
import pytest

from dashdeploy.export.verify.accuracy import accuracy

GENERATOR = np.random.default_rng(0)


def judged(got, expected, targets, allowed=0.01):
    return accuracy(np.asarray(got), np.asarray(expected), np.asarray(targets), allowed)


@pytest.mark.parametrize("dense", [(), (5,), (4, 6)])
def test_classes(dense):
    targets = GENERATOR.integers(0, 3, (8, *dense))
    right = np.moveaxis(np.eye(3)[targets], -1, 1)
    wrong = np.roll(right, 1, axis=1)
    half = np.where(np.arange(8).reshape(8, *[1] * (len(dense) + 1)) % 2, right, wrong)
    found = judged(half, right, targets)
    assert (found.measure, found.samples, found.reference, found.model) == ("accuracy", 8, 1, 0.5)
    assert found.fails
    assert not judged(right, half, targets).fails  # better than the reference


def test_labels_are_right_by_sign():
    targets = np.array([[0, 1, 1], [1, 0, 0]])
    right = np.where(targets, 2.0, -0.5)
    wrong = right.copy()
    wrong[0, 0] = 0.1
    found = judged(wrong, right, targets)
    assert (found.measure, found.reference) == ("label accuracy", 1)
    assert found.model == pytest.approx(5 / 6)
    assert found.fails


def test_numbers_are_judged_by_their_relative_error():
    targets = GENERATOR.standard_normal((50, 2)).astype("f4")
    found = judged(1.1 * targets, targets, targets)
    assert (found.measure, found.reference) == ("1 - relative L2 error", 1)
    assert found.model == pytest.approx(0.9, abs=1e-6)
    assert found.fails
    assert not judged(1.1 * targets, targets, targets, allowed=0.11).fails
    assert judged(np.full_like(targets, np.nan), targets, targets).fails


@pytest.mark.parametrize(
    ("output", "targets"),
    [
        (np.zeros((4, 3)), np.zeros(5, int)),  # another number of samples
        (np.zeros((4, 1)), np.zeros(4, int)),  # one class is none
        (np.zeros(4), np.zeros(4, int) + 2),
        (np.zeros((4, 3)), np.full((4, 3), 2)),  # neither zero nor one
        (np.zeros((4, 3)), np.zeros((4, 2))),
        (np.ones((4, 3)), np.zeros((4, 3))),  # nothing to be relative to
        (np.ones((4, 3)), np.full((4, 3), np.nan)),
        (np.zeros((0, 3)), np.zeros((0, 3))),
    ],
)
def test_targets_that_do_not_belong_to_the_output(output, targets):
    assert judged(output, output, targets) is None
