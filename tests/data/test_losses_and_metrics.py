"""Losses and metrics by name, against formulas in NumPy and float64."""

import numpy as np
import pytest
import torch

from dashdeploy.data.losses import LOSSES, binary_cross_entropy, focal, loss_by_name, relative_l2
from dashdeploy.data.metrics import METRICS, metric_by_name
from dashdeploy.data.scaling.affine import Affine
from dashdeploy.data.task import KINDS
from dashdeploy.errors import InputError


def scored(metric, outputs, targets, batches=3):
    """The metric over several batches, which must not be a mean of theirs."""
    made = metric.create()
    for some_outputs, some_targets in zip(outputs.chunk(batches), targets.chunk(batches), strict=True):
        made.update(some_outputs, some_targets)
    return float(made.compute())


def auroc(scores, truths):
    """The share of (positive, negative) pairs in the right order; ties count half."""
    pairs = scores[truths][:, None] - scores[~truths][None]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def average_precision(scores, truths):
    """Precision at every positive, in the order of falling scores; the mean."""
    right = truths[np.argsort(-scores)]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precision[right].mean())


@pytest.fixture
def logits():
    return torch.randn(90, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def classes():
    return torch.randint(0, 4, (90,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.randint(0, 2, (90, 4), generator=torch.Generator().manual_seed(2))


def test_every_kind_has_a_loss_and_a_metric_of_its_own():
    assert tuple(LOSSES) == tuple(METRICS) == KINDS
    assert [metric_by_name(kind, 3).name for kind in KINDS] == ["accuracy", "auroc", "mae"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_rates_a_perfect_prediction_as_best(kind):
    classes, labels, numbers = torch.arange(12) % 3, torch.arange(36).view(12, 3) % 5 < 2, torch.randn(12, 3)
    outputs, targets = {
        "classification": (torch.nn.functional.one_hot(classes, 3).float() * 20, classes),
        "multi-label": (labels * 40.0 - 20, labels.long()),
        "regression": (numbers, numbers),
    }[kind]
    for name in METRICS[kind]:
        metric = metric_by_name(kind, 3, name)
        assert scored(metric, outputs, targets) == pytest.approx(1.0 if metric.higher_is_better else 0.0), (
            name
        )
        worse = scored(metric, outputs.roll(1, 0) + 0.5, targets)
        assert worse < 0.999 if metric.higher_is_better else worse > 0.001, name


def test_auroc_and_average_precision_of_labels(logits, labels):
    for name, formula in (("auroc", auroc), ("map", average_precision)):
        expected = np.mean([formula(logits[:, k].numpy(), labels[:, k].bool().numpy()) for k in range(4)])
        assert scored(metric_by_name("multi-label", 4, name), logits, labels) == pytest.approx(expected)


def test_auroc_and_average_precision_of_classes(logits, classes):
    scores = logits.softmax(1).numpy()
    for name, formula in (("auroc", auroc), ("map", average_precision)):
        expected = np.mean([formula(scores[:, k], (classes == k).numpy()) for k in range(4)])
        assert scored(metric_by_name("classification", 4, name), logits, classes) == pytest.approx(expected)


def test_labels_that_never_occur_are_left_out(logits, labels):
    labels[:, 1] = 0
    labels[:, 2] = 1
    expected = np.mean([auroc(logits[:, k].numpy(), labels[:, k].bool().numpy()) for k in (0, 3)])
    assert scored(metric_by_name("multi-label", 4, "auroc"), logits, labels) == pytest.approx(expected)
    assert scored(metric_by_name("multi-label", 4, "auroc"), logits, torch.zeros_like(labels)) == 0


def test_f1_and_accuracies_of_classes(logits, classes):
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (classes.numpy(), logits.argmax(1).numpy()), 1)
    right, of_class, of_guess = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    expected = {
        "accuracy": right.sum() / 90,
        "balanced_accuracy": (right / of_class).mean(),
        "f1": (2 * right / (of_class + of_guess)).mean(),
    }
    for name, value in expected.items():
        assert scored(metric_by_name("classification", 4, name), logits, classes) == pytest.approx(value)


def test_false_negative_rate(logits, labels):
    expected = ((labels == 1) & (logits <= 0)).sum() / labels.sum()
    assert scored(metric_by_name("multi-label", 4, "fnr"), logits, labels) == pytest.approx(float(expected))


def test_errors_are_in_the_data_s_own_units():
    generator = torch.Generator().manual_seed(3)
    outputs, targets = (torch.randn(30, 2, 5, generator=generator) * 7 + 40 for _ in range(2))
    units = Affine((38.0, 41.0), (3.0, 9.0))
    o, t = outputs.double().numpy(), targets.double().numpy()
    norms = [np.linalg.norm((o - t).reshape(30, -1), axis=1), np.linalg.norm(t.reshape(30, -1), axis=1)]
    expected = {
        "mae": np.abs(o - t).mean(),
        "mse": ((o - t) ** 2).mean(),
        "rmse": np.sqrt(((o - t) ** 2).mean()),
        "relative_l2": (norms[0] / norms[1]).mean(),
    }
    for name, value in expected.items():
        plain = metric_by_name("regression", 2, name)
        scaled = metric_by_name("regression", 2, name, units=units)
        assert scored(plain, outputs, targets) == pytest.approx(value)
        assert scored(scaled, units.apply(outputs), units.apply(targets)) == pytest.approx(value, rel=1e-5)
    r2 = 1 - ((o - t) ** 2).sum() / ((t - t.mean()) ** 2).sum()
    assert scored(metric_by_name("regression", 2, "r2"), outputs, targets) == pytest.approx(r2, rel=1e-5)


def test_dense_metrics_count_every_position():
    logits, classes = torch.randn(6, 3, 10), torch.randint(0, 3, (6, 10))
    expected = (logits.argmax(1) == classes).float().mean()
    assert scored(metric_by_name("classification", 3), logits, classes) == pytest.approx(float(expected))
    flat = logits.movedim(1, -1).flatten(0, 1)
    dense, pointwise = (
        scored(metric_by_name("classification", 3, "auroc"), *each)
        for each in ((logits, classes), (flat, classes.flatten()))
    )
    assert dense == pytest.approx(pointwise)


def test_losses_against_their_formulas(logits, classes, labels):
    logits = logits.double()
    p = logits.softmax(1)[torch.arange(90), classes]
    assert focal(logits, classes, gamma=2.0) == pytest.approx(float((-((1 - p) ** 2) * p.log()).mean()))
    assert focal(logits, classes, gamma=0.0) == pytest.approx(
        float(loss_by_name("classification")(logits, classes))
    )
    q = logits.sigmoid()
    expected = -(4 * labels * q.log() + (1 - labels) * (1 - q).log()).mean()
    assert binary_cross_entropy(logits, labels, positive_weight=4) == pytest.approx(float(expected))


def test_relative_l2_is_that_of_the_unscaled_numbers():
    outputs, targets = torch.randn(4, 1, 6).double() + 3, torch.randn(4, 1, 6).double() + 3
    units = Affine((3.0,), (2.0,))
    expected = ((outputs - targets).flatten(1).norm(dim=1) / targets.flatten(1).norm(dim=1)).mean()
    scaled = loss_by_name("regression", "relative_l2", units=units)
    assert scaled(units.apply(outputs), units.apply(targets)) == pytest.approx(float(expected))
    zero = torch.zeros(1, 1, 6)
    assert relative_l2(zero + 1, zero) == pytest.approx(6**0.5)  # a target of norm 0 counts absolutely


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (
            lambda: metric_by_name("classification", 2, "acuracy"),
            "`metric=acuracy`: no such metric; did you mean",
        ),
        (lambda: metric_by_name("regression", 2, "zzz"), "for regression choose from mae, mse, rmse"),
        (
            lambda: metric_by_name("classification", 2, "mae"),
            "`metric=mae` is for regression, and the task is class",
        ),
        (lambda: loss_by_name("regression", "focal"), "or add `predict=classification`"),
        (
            lambda: loss_by_name("multi-label", "bce"),
            "`loss=bce`: no such loss; for multi-label choose from binary",
        ),
    ],
)
def test_a_wrong_name_is_met_with_the_right_ones(choose, message):
    with pytest.raises(InputError) as caught:
        choose()
    assert message in str(caught.value)
