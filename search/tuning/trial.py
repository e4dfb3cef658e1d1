"""One trial of a tuning: a short training of the found network with one choice of hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.trial import Trial

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_searched
from dashdeploy.data.task import Task
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.phases import short_phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.supernet.networks import takes_dropout
from dashdeploy.search.training.checkpoint import epochs_done, save_training
from dashdeploy.search.training.lightning_module import DivergedError, PhaseModule
from dashdeploy.search.training.trainer import fit, suppress_lightning_logging, trainer_of
from dashdeploy.search.tuning.halving import is_rung, trial_checkpoint
from dashdeploy.search.tuning.space import Hyperparameters
from dashdeploy.search.tuning.tune import MAIN, Objective, Tuning


class ReportToTrial(Callback):
    """Tells the trial of every epoch, and stops where its pruner says so.

    Attributes:
        pruned: whether it said so.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial, self.pruned = trial, False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the validation metric."""
        assert isinstance(pl_module, PhaseModule)
        value = pl_module.record[f"validation_{pl_module.task.metric.name}"]
        self.trial.report(value, trainer.current_epoch)
        if self.trial.should_prune():
            self.pruned = trainer.should_stop = True


class ClimbRungs(ReportToTrial):
    """Tells the trial of its best epoch so far, and keeps the training at every rung that it passes.

    Args:
        trial: of successive halving.
        path: of the checkpoint, which also says what was reported. A folder that is gone is that of a finished study.
    """

    def __init__(self, trial: Trial, path: Path) -> None:
        super().__init__(trial)
        self.path = path
        self.reported: list[float] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report; a trial that has reached the end has nothing more to pass."""
        assert isinstance(pl_module, PhaseModule)
        assert pl_module.best_value is not None
        self._report(pl_module.best_value)
        epochs = len(self.reported)
        if epochs == pl_module.phase.epochs or not is_rung(epochs):
            return
        if self.trial.should_prune():
            self.pruned = trainer.should_stop = True
        elif self.path.parent.is_dir():
            # The run may be finished without this trial, or resumed, meanwhile.
            with suppress(FileNotFoundError):
                save_training(trainer, self.path)

    def _report(self, value: float) -> None:
        self.reported.append(value)
        self.trial.report(value, len(self.reported))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"reported": list(self.reported)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Report again what the trial had reported before its process died; it passed all of these rungs."""
        for value in state_dict["reported"]:
            self._report(value)
            if is_rung(len(self.reported)):
                self.trial.should_prune()  # it puts the value among those at the rung; what it says was decided


def tuning_of(
    task: Task,
    settings: RunSettings,
    architecture: Architecture,
    folder: Path,
    *,
    worker: str = MAIN,
    progress: Progress = silent,
) -> Tuning:
    """What a process needs to run trials of the network that was found.

    Args:
        task: the data, the loss and the metric.
        settings: of the run.
        architecture: the network.
        folder: the unfinished run, with the study.
        worker: which process this is.
        progress: told of every trial.
    """
    return Tuning(
        settings,
        folder,
        trial_of(task, settings, architecture, folder),
        higher_is_better=task.metric.higher_is_better,
        dropout=takes_dropout(architecture.backbone),
        worker=worker,
        progress=progress,
    )


def trial_of(task: Task, settings: RunSettings, architecture: Architecture, folder: Path) -> Objective:
    """The objective: the best epoch's validation metric; infinitely bad where there is none.

    Args:
        task: the data, the loss and the metric.
        settings: of the run.
        architecture: the network; all trials start with the same weights, unless these are tuned as well.
        folder: where Lightning may write.
    """
    halves = settings.tune == "asha"
    worst = -math.inf if task.metric.higher_is_better else math.inf

    def train(trial: Trial, chosen: Hyperparameters) -> float:
        tuned = chosen.applied(settings)
        phase = short_phase("tune", tuned, tuned.tune_epochs, tuned.epoch_passes, tuned.tune_share)
        path = trial_checkpoint(folder, tuned.seed)
        report = ClimbRungs(trial, path) if halves else ReportToTrial(trial)
        with suppress_lightning_logging():
            # As retraining does, so that this starts with the winner's weights.
            L.seed_everything(tuned.seed, verbose=False)
            module = PhaseModule(build_searched(chosen.applied_to(architecture)), task, phase, tuned)
            trainer = trainer_of(
                tuned,
                phase,
                [report],
                alone=True,
                logger=False,
                enable_checkpointing=False,
                default_root_dir=folder,
            )
            try:
                fit(trainer, module, path if halves and epochs_done(path) else None)
            except DivergedError:
                return worst
        path.unlink(missing_ok=True)
        if report.pruned:
            raise optuna.TrialPruned
        assert module.best_value is not None
        return worst if math.isnan(module.best_value) else module.best_value

    return train
