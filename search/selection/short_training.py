"""A short training of one candidate, and how it is judged on the samples that it holds out."""

from __future__ import annotations

import time
from pathlib import Path

import lightning as L
import torch

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_searched
from dashdeploy.data.task import Task
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import MOST_SEEDS
from dashdeploy.search.distributed.ranks import device_of
from dashdeploy.search.selection.choice import Score
from dashdeploy.search.selection.paired_difference import figure_of
from dashdeploy.search.training.batch_norm import recalibrate
from dashdeploy.search.training.evaluate import metric_of, predictions
from dashdeploy.search.training.lightning_module import DivergedError, PhaseModule
from dashdeploy.search.training.trainer import fit, suppress_lightning_logging, trainer_of


def judged(
    task: Task, settings: RunSettings, candidate: Architecture, fold: int, folder: Path, phase: Phase
) -> Score:
    """Train `candidate` and give the figures of the last epoch; the rate is nothing by then, so none is chosen.

    Every fold has its own initial weights and order, the same for all candidates.

    Args:
        task: its training data are learned from, its validation data held out.
        settings: of the run.
        candidate: the network.
        fold: its number, from 0.
        folder: where Lightning may write.
        phase: how it is trained, and how long; see `dashdeploy.search.config.phases.short_phase`.
    """
    settings = settings.model_copy(update={"seed": (settings.seed + fold) % MOST_SEEDS})
    started = time.perf_counter()
    with suppress_lightning_logging():
        L.seed_everything(settings.seed, verbose=False)
        module = PhaseModule(build_searched(candidate), task, phase, settings)
        trainer = trainer_of(
            settings, phase, [], alone=True, logger=False, enable_checkpointing=False, default_root_dir=folder
        )
        try:
            fit(trainer, module)
        except DivergedError:
            return Score(seconds=time.perf_counter() - started)
    network = module.network.to(device_of(settings))
    if settings.recalibrate:
        recalibrate(network, module.train_split)
    batches = list(predictions(network, task.validation))
    outputs, targets = (torch.cat(each).cpu() for each in zip(*batches, strict=True))
    return Score(
        loss=figure_of(lambda *some: float(task.loss(*some)), outputs, targets),
        metric=figure_of(lambda *some: metric_of(task.metric, iter([some])), outputs, targets),
        seconds=time.perf_counter() - started,
    )


def in_words(task: Task, metric: float | None, loss: float | None) -> str:
    """The figures of trainings; None says that one diverged."""
    if metric is None or loss is None:
        return "it diverged"
    return f"validation {task.metric.name} {metric:.4f}, loss {loss:.4f}"
