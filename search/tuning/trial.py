"""One trial of a tuning: a short training of the found network with one choice of hyperparameters."""

from __future__ import annotations

import math
from pathlib import Path

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback
from optuna.trial import Trial

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_searched
from dashdeploy.data.task import Task
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.supernet.networks import takes_dropout
from dashdeploy.search.training.lightning_module import DivergedError, PhaseModule
from dashdeploy.search.training.trainer import fit, suppress_lightning_logging, trainer_of
from dashdeploy.search.tuning.space import Hyperparameters
from dashdeploy.search.tuning.tune import MAIN, Objective, Tuning


class ReportToTrial(Callback):
    """Tells the trial of every epoch, and stops where its pruner says so."""

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
        architecture: the network; every trial has new weights.
        folder: where Lightning may write.
    """
    worst = -math.inf if task.metric.higher_is_better else math.inf

    def train(trial: Trial, chosen: Hyperparameters) -> float:
        tuned = chosen.applied(settings)
        phase = Phase(
            "tune",
            tuned.tune_epochs,
            tuned.epoch_passes,
            tuned.learning_rate,
            tuned.tune_share,
            tuned.retrain_clip,
        )
        report = ReportToTrial(trial)
        with suppress_lightning_logging():
            L.seed_everything(settings.seed, verbose=False)  # every trial starts with the same weights
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
                fit(trainer, module)
            except DivergedError:
                return worst
        if report.pruned:
            raise optuna.TrialPruned
        assert module.best_value is not None
        return worst if math.isnan(module.best_value) else module.best_value

    return train
