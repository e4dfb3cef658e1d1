"""What a run makes of settings that leave things open."""

import dataclasses

import pytest
import torch

from dashdeploy.data.losses import cross_entropy, mse
from dashdeploy.data.task import Split
from dashdeploy.search.config import run_settings as module
from dashdeploy.search.config.run_settings import RunSettings, run_settings
from dashdeploy.search.config.settings import SearchSettings


@pytest.fixture
def of_size(waves_task):
    """The task with so many samples, 15 % of them for validation."""

    def make(count, **changes):
        held = round(0.15 * count)
        parts = [Split(torch.zeros(n, 1, 24), torch.zeros(n, dtype=torch.long)) for n in (count - held, held)]
        return dataclasses.replace(waves_task, train=parts[0], validation=parts[1], **changes)

    return make


@pytest.mark.parametrize(
    ("samples", "batch", "folds", "refit"),
    [(36, 8, 3, True), (104, 10, 3, True), (537, 54, 3, True), (4000, 128, 3, True), (20_000, 128, 1, False)],
)
def test_what_suits_a_number_of_samples(of_size, samples, batch, folds, refit):
    chosen = run_settings(of_size(samples), SearchSettings())
    assert (chosen.batch_size, chosen.shortlist_folds, chosen.refit) == (batch, folds, refit)


@pytest.mark.parametrize(
    ("samples", "shape", "folds"),
    [
        (1000, (3, 600, 600), 3),
        (1001, (3, 600, 600), 1),
        (10_000, (1, 13_421), 3),
        (10_000, (1, 13_422), 1),
        (10_001, (1, 24), 1),
    ],
)
def test_more_than_a_thousand_samples_are_cross_validated_if_copies_are_small(of_size, samples, shape, folds):
    task = dataclasses.replace(of_size(samples), input_shape=shape)
    assert run_settings(task, SearchSettings()).shortlist_folds == folds


@pytest.mark.parametrize("samples", [20, 36, 104, 537, 4000, 20_000])
def test_budgets_are_counted_in_steps(of_size, samples):
    task = of_size(samples)
    chosen = run_settings(task, SearchSettings())
    batches = len(task.train.targets) // min(chosen.batch_size, len(task.train.targets))
    per_epoch = batches * chosen.epoch_passes

    def steps(epochs):
        return epochs * per_epoch

    # At least the steps and the passes that are meant, and less than an epoch more.
    for epochs, least, passes in ((chosen.search_epochs, 600, 12), (chosen.retrain_epochs, 2000, 30)):
        wanted = max(least, passes * batches)
        assert wanted <= steps(epochs) < wanted + per_epoch
    assert 25 < per_epoch <= 75 or chosen.epoch_passes == 1


def test_what_is_given_stays(of_size):
    given = {
        "batch_size": 16,
        "refit": False,
        "shortlist_folds": 5,
        "learning_rate": 0.2,
        "retrain_epochs": 40,
    }
    chosen = run_settings(of_size(100), SearchSettings.preset("quick", **given))
    assert {name: getattr(chosen, name) for name in given} == given
    # A number of epochs means passes, and what is trained for a shorter while follows it.
    assert (chosen.epoch_passes, chosen.shortlist_epochs, chosen.tune_epochs) == (1, 14, 14)
    assert chosen.search_learning_rate == 0.2
    assert run_settings(of_size(100), chosen) == chosen


def test_the_optimizer_has_its_own_rates(of_size):
    adam, sgd = (run_settings(of_size(100), SearchSettings(optimizer=each)) for each in ("adam", "sgd"))
    assert (adam.learning_rate, adam.alpha_learning_rate) == (0.005, 0.05)
    assert (sgd.learning_rate, sgd.alpha_learning_rate) == (0.1, 10.0)
    assert sgd.tune_learning_rates == (0.1, 0.01, 0.001)
    # Adam's decay is decoupled from the gradient, and its rate is a twentieth of SGD's.
    assert (adam.weight_decay, adam.tune_weight_decays) == (0.2, (0.2, 5e-4))
    assert (sgd.weight_decay, sgd.tune_weight_decays) == (5e-4, (5e-4, 5e-6))


def test_labels_are_smoothed_where_the_loss_is_cross_entropy(of_size):
    assert run_settings(of_size(100, loss=cross_entropy), SearchSettings()).label_smoothing == 0.1
    assert run_settings(of_size(100, loss=mse), SearchSettings()).label_smoothing == 0.0


@pytest.mark.parametrize(
    ("kind", "quick", "precision"),
    [
        ("classification", True, "bf16-mixed"),
        ("classification", False, "32-true"),
        ("multi-label", True, "bf16-mixed"),
        ("regression", True, "32-true"),
    ],
)
def test_bfloat16_where_it_is_quick_and_digits_do_not_count(of_size, monkeypatch, kind, quick, precision):
    monkeypatch.setattr(module, "has_quick_bfloat16", lambda: quick)
    chosen = run_settings(of_size(100, kind=kind), SearchSettings(devices="cpu"))
    assert chosen.precision == precision


def test_the_paper_s_protocol_leaves_no_epochs_open(of_size):
    paper = SearchSettings.preset("paper")
    chosen = run_settings(of_size(4000), paper)
    assert (chosen.search_epochs, chosen.retrain_epochs, chosen.epoch_passes, chosen.shortlist) == (
        100,
        200,
        1,
        1,
    )
    assert (chosen.optimizer, chosen.learning_rate, chosen.alpha_learning_rate) == ("sgd", 0.1, 0.05)
    assert chosen.refit is False and chosen.label_smoothing == 0.0 and chosen.precision == "32-true"


def test_run_settings_leave_nothing_open_but_the_backbone_s_budget(of_size):
    chosen = run_settings(of_size(100), SearchSettings())
    open_ones = [name for name in RunSettings.model_fields if getattr(chosen, name) is None]
    backbone = {"backbone_epochs", "backbone_share"}
    assert set(open_ones) == backbone | {
        "dropout",
        "latency_budget",
        "latency_device",
        "towers",
        "narrow_towers",
        "reparameterize",
    }
