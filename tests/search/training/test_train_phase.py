"""What the trainings of all phases have in common."""

import dataclasses
import math
import signal

import optuna
import pytest

from dashdeploy.backbones.build import build_searched
from dashdeploy.search.config.phases import phases
from dashdeploy.search.selection.shortlist import choose_from_shortlist
from dashdeploy.search.training.lightning_module import PhaseModule
from dashdeploy.search.training.trainer import fit, suppress_lightning_logging, trainer_of
from dashdeploy.search.tuning.space import untuned
from dashdeploy.search.tuning.trial import trial_of


def test_an_interrupted_training_leaves_ctrl_c_as_it_was(waves_task, small, finished, tmp_path):
    """Of a run's own phases `test_resume` says the same."""

    def loss(*_):
        raise KeyboardInterrupt

    def of_a_short_list():
        (tmp_path / "checkpoints").mkdir()
        settings = small.model_copy(update={"shortlist": 2, "shortlist_epochs": 1})
        choose_from_shortlist(task, settings, finished.architecture, tmp_path)

    def of_a_trial():
        train = trial_of(task, small, finished.architecture, tmp_path)
        train(optuna.create_study().ask(), untuned(small, dropout=False))

    def of_the_user_s_own(*_):
        pass

    task = dataclasses.replace(waves_task, loss=loss)
    before = signal.signal(signal.SIGINT, of_the_user_s_own)
    try:
        for train in (of_a_short_list, of_a_trial):
            with pytest.raises(KeyboardInterrupt):
                train()
            assert signal.getsignal(signal.SIGINT) is of_the_user_s_own
    finally:
        signal.signal(signal.SIGINT, before)


def without_a_number(task, times):
    """The task with a metric that cannot be computed so many times, as a correlation with constant outputs."""
    count = 0

    def create():
        metric = task.metric.create()
        compute = metric.compute

        def undefined_at_first():
            nonlocal count
            count += 1
            return math.nan if count <= times else compute()

        metric.compute = undefined_at_first
        return metric

    return dataclasses.replace(task, metric=dataclasses.replace(task.metric, create=create))


def test_an_epoch_without_a_metric_is_worse_than_any(waves_task, small, finished):
    settings = small.model_copy(update={"retrain_epochs": 3})
    phase = phases(settings)["retrain"]
    network = build_searched(finished.architecture)
    with suppress_lightning_logging():
        module = PhaseModule(network, without_a_number(waves_task, 1), phase, settings)
        fit(trainer_of(settings, phase, [], logger=False, enable_checkpointing=False), module)
    assert module.best_epoch > 0
    assert math.isfinite(module.best_value)


def test_a_trial_without_a_metric_is_infinitely_bad(waves_task, small, finished, tmp_path):
    settings = small.model_copy(update={"tune_epochs": 2})
    task = without_a_number(waves_task, 2)
    train = trial_of(task, settings, finished.architecture, tmp_path)
    assert train(optuna.create_study().ask(), untuned(settings, dropout=False)) == -math.inf
