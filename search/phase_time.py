"""What the phases of a run are expected to take, from what a step of each network takes."""

from __future__ import annotations

import math

from dashdeploy.data.task import Task
from dashdeploy.search.config.phases import PhaseName, phase_names, stage_of
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.ranks import device_of
from dashdeploy.search.selection.shortlist import comparisons, rounds
from dashdeploy.search.selection.towers import networks_trained
from dashdeploy.search.step_time import StepSeconds
from dashdeploy.search.training.batch_norm import samples_seen
from dashdeploy.search.tuning.halving import expected_epochs

EVALUATION = 1 / 3
"""What a sample costs without its gradient, as part of what it costs in training."""


def retrain_passes(settings: RunSettings) -> float:
    """Passes over the data of a final training."""
    return settings.retrain_epochs * settings.epoch_passes * settings.retrain_share


def search_passes(settings: RunSettings) -> float:
    """Passes over the data of the search."""
    return settings.search_epochs * settings.epoch_passes * settings.search_share


def phase_seconds(task: Task, settings: RunSettings, step: StepSeconds) -> dict[PhaseName, float]:
    """What each phase of a run is expected to take."""
    held_out = len(task.validation.targets)
    train, everything = len(task.train.targets), len(task.train.targets) + held_out

    def epochs(count: float, one: float, samples: int, evaluated: int, share: float = 1.0) -> float:
        batch = min(settings.batch_size, samples)
        steps = settings.epoch_passes * max(1, round(share * (samples // batch)))
        return count * one * (steps + EVALUATION * evaluated / batch)

    final = _samples_of_final_trainings(task, settings)
    listed = everything // settings.shortlist_folds
    of_list = (train, held_out) if settings.shortlist_folds == 1 else (everything - listed, listed)
    list_of_rounds = rounds(settings, settings.shortlist, later=len(comparisons(task, settings)))
    listed_epochs = sum(each.cost for each in list_of_rounds)
    after_each = (
        recalibration_steps(task, settings, of_list[0]) + EVALUATION * of_list[1] / settings.batch_size
    )
    judged = step.searched * after_each * sum(each.trainings for each in list_of_rounds)
    tuned_epochs = {
        "none": 0,
        "grid": _grid(settings) * settings.tune_epochs,
        "tpe": settings.tune_trials * settings.tune_epochs,
        "asha": settings.tune_trials * expected_epochs(settings.tune_epochs),
    }[settings.tune]
    expected: dict[PhaseName, float] = {
        "search": epochs(settings.search_epochs, step.supernet, train, held_out, settings.search_share),
        "shortlist": epochs(listed_epochs, step.searched, *of_list, settings.shortlist_share) + judged,
        "tune": epochs(
            tuned_epochs, networks_trained(settings) * step.searched, train, held_out, settings.tune_share
        ),
        "retrain": epochs(
            settings.retrain_epochs,
            networks_trained(settings) * step.searched,
            final,
            held_out,
            settings.retrain_share,
        ),
        "backbone": epochs(
            settings.backbone_epochs or settings.retrain_epochs,
            step.backbone,
            final,
            held_out,
            settings.backbone_share or settings.retrain_share,
        ),
    }
    return {name: expected[stage_of(name)] for name in phase_names(settings)}


def finishing_seconds(task: Task, settings: RunSettings, step: StepSeconds) -> float:
    """What is expected to follow the final trainings: batch norms' statistics and scores of all networks."""
    scored = 0 if task.test is None else len(task.test.targets)
    if not settings.refit:
        scored += len(task.validation.targets)
    steps = EVALUATION * scored / settings.batch_size
    steps += recalibration_steps(task, settings, _samples_of_final_trainings(task, settings))
    return steps * (settings.ensemble * networks_trained(settings) * step.searched + step.backbone)


def _samples_of_final_trainings(task: Task, settings: RunSettings) -> int:
    return len(task.train.targets) + (len(task.validation.targets) if settings.refit else 0)


def recalibration_steps(task: Task, settings: RunSettings, samples: int) -> float:
    """What batch norms' statistics over `samples` are expected to take, in steps of a training."""
    seen = samples_seen(task.train, samples, device_of(settings)) if settings.recalibrate else 0
    return EVALUATION * seen / settings.batch_size


def _grid(settings: RunSettings) -> int:
    """Trials of the whole grid; it may end earlier."""
    axes = (
        settings.tune_learning_rates,
        settings.tune_dropouts,
        settings.tune_weight_decays,
        settings.tune_momenta,
    )
    return math.prod(len(axis) for axis in axes)
