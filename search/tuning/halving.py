"""Asynchronous successive halving: the rungs, what a trial's value at one is compared with, and its checkpoints.

L. Li, K. Jamieson, A. Rostamizadeh et al., "A system for massively parallel hyperparameter tuning", MLSys 2020
(ASHA), in the variant of Ray Tune, with which DASHA (Xu et al. 2024, arXiv 2411.02796) tunes, and of Optuna: a trial
goes on at once or ends for good at every rung, so that no process waits for another.
"""

from __future__ import annotations

import shutil
from collections.abc import Container
from pathlib import Path

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from dashdeploy.search.staging.directory import CHECKPOINTS_NAME

REDUCTION = 2
RUNG_ATTRIBUTE = "completed_rung_"
"""How Optuna's pruner names a trial's values at its rungs."""
FOLDER_NAME = "tune"


class _WithoutLost(optuna.Study):
    """A study without the trials that were lost with their process."""

    def __init__(self, study: optuna.Study) -> None:
        super().__init__(study.study_name, study._storage)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All others: what a lost trial had at its rungs is said once more by the one that replaces it."""
        trials = super().get_trials(deepcopy, states)
        return [trial for trial in trials if trial.state != TrialState.FAIL]


class HalvingPruner(SuccessiveHalvingPruner):
    """Ends a trial whose value after 1, 2, 4, ... epochs is not in the better half of the values there so far."""

    def __init__(self) -> None:
        super().__init__(min_resource=1, reduction_factor=REDUCTION)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether `trial` ends; its steps are epochs, from 1."""
        return super().prune(_WithoutLost(study), trial)


def rung_after(epochs: int) -> int | None:
    """The last rung that a trial of so many epochs has reached, from 0 (after one epoch); None without an epoch."""
    return epochs.bit_length() - 1 if epochs else None


def is_rung(epochs: int) -> bool:
    """Whether trials are compared after so many epochs."""
    return epochs > 0 and epochs & (epochs - 1) == 0


def expected_epochs(most: int) -> float:
    """Epochs that a trial takes on average where every rung ends half of those that reach it.

    Args:
        most: epochs of a trial that reaches the end.
    """
    return float(sum(1 / REDUCTION ** epochs.bit_length() for epochs in range(most)))


def make_checkpoint_folder(folder: Path) -> None:
    """Make room for the checkpoints of the trials of the run in `folder`."""
    (folder / CHECKPOINTS_NAME / FOLDER_NAME).mkdir(parents=True, exist_ok=True)


def remove_checkpoints(folder: Path) -> None:
    """Remove what only an unfinished study needs."""
    shutil.rmtree(folder / CHECKPOINTS_NAME / FOLDER_NAME, ignore_errors=True)


def trial_checkpoint(folder: Path, seed: int) -> Path:
    """Where the trial with this seed, which no other trial has, keeps the last rung that it passed."""
    return folder / CHECKPOINTS_NAME / FOLDER_NAME / f"seed-{seed}.ckpt"
