"""One phase from its last checkpoint to its end, and what happens if it diverges."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from dashdeploy.data.task import Task
from dashdeploy.errors import InputError, first_line
from dashdeploy.ops.training.reparameterization import merge
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.processes import from_first
from dashdeploy.search.distributed.ranks import device_of, devices_of, rank
from dashdeploy.search.latency.loss_term import LatencyLoss, LatencyTable
from dashdeploy.search.staging.directory import write_json
from dashdeploy.search.supernet.probe import leaves_unused
from dashdeploy.search.training.batch_norm import recalibrate
from dashdeploy.search.training.checkpoint import (
    EpochCheckpoint,
    checkpoint_path,
    epochs_done,
    rollbacks_path,
)
from dashdeploy.search.training.history import forget_from, logger_of
from dashdeploy.search.training.lightning_module import DivergedError, PhaseModule
from dashdeploy.search.training.progress_bar import PhaseProgress
from dashdeploy.search.training.time_limit import StopInTime
from dashdeploy.search.training.trainer import fit, suppress_lightning_logging, trainer_of

MOST_ROLLBACKS = 3
ROLLBACK_FACTOR = 0.3
"""What all learning rates are multiplied by when a phase diverged."""


@dataclass(frozen=True)
class TrainedNetwork:
    """What the training of a network gave.

    Attributes:
        weights: after the best epoch on validation data, by name.
        record: its epochs, best epoch, seconds and divergences, as JSON.
    """

    weights: dict[str, Tensor]
    record: dict[str, Any]

    def put_into(self, network: nn.Module) -> nn.Module:
        """Fill `network` with the weights, for evaluation.

        Raises:
            InputError: they are another network's.
        """
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise InputError(
                f"the weights that the run has are another network's: {first_line(error)}; search again"
            ) from error
        return network.eval()


@dataclass(frozen=True)
class TrainedPhase:
    """A phase after its last epoch.

    Attributes:
        module: the network as it is then, the best weights, and the latency's part of the loss.
        record: the epochs, best epoch, seconds and divergences, as JSON.
    """

    module: PhaseModule
    record: dict[str, Any]


def train_network(
    build: Callable[[], nn.Module],
    task: Task,
    phase: Phase,
    settings: RunSettings,
    folder: Path,
    *,
    seconds: float | None = None,
    progress: Progress = silent,
) -> TrainedNetwork:
    """Train a network without architecture parameters; see `train_phase`."""
    trained = train_phase(build, task, phase, settings, folder, seconds=seconds, progress=progress)
    module, weights = trained.module, trained.module.best_state
    if settings.recalibrate or phase.reparameterize:
        network = module.network
        network.load_state_dict(weights)
        merge(network)
        if settings.recalibrate:
            recalibrate(network.to(device_of(settings)), module.train_split).cpu()
        weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    return TrainedNetwork(weights, trained.record)


def train_phase(
    build: Callable[[], nn.Module],
    task: Task,
    phase: Phase,
    settings: RunSettings,
    folder: Path,
    *,
    latencies: LatencyTable | None = None,
    seconds: float | None = None,
    progress: Progress = silent,
) -> TrainedPhase:
    """Train a phase, from its checkpoint on if there is one.

    A phase that diverges goes back to its last whole epoch with smaller learning rates, up to `MOST_ROLLBACKS`
    times; the result names every time.

    Args:
        build: makes the network, with new weights.
        task: the data, the loss and the metric.
        phase: what sets it apart from the others.
        settings: every hyperparameter.
        folder: the unfinished run, with the phase's checkpoint and the history.
        latencies: what candidates cost, if that counts.
        seconds: how long it may take; None is as long as it needs.
        progress: told of the epochs, and of divergences.

    Raises:
        DivergedError: it diverged once more.
        InputError: the checkpoint is damaged.
        KeyboardInterrupt: the user interrupted it.
    """
    kept = rollbacks_path(folder, phase.name)
    writes = rank(devices_of(settings)) == 0
    known = json.loads(kept.read_bytes()) if writes and kept.exists() else []
    rollbacks: list[dict[str, Any]] = from_first(known)
    while True:
        rate_scale = ROLLBACK_FACTOR ** len(rollbacks)
        try:
            module = _fit(build, task, phase, settings, folder, latencies, rate_scale, seconds, progress)
        except DivergedError as error:
            if len(rollbacks) >= MOST_ROLLBACKS:
                raise
            rollbacks = [*rollbacks, {"epoch": error.epoch, "reason": error.loss}]
            if writes:
                write_json(kept, rollbacks)
            factor = ROLLBACK_FACTOR ** len(rollbacks)
            progress(
                f"{error.loss}; returning to the last good epoch, with {factor:.2g} times the learning rates"
            )
        else:
            return TrainedPhase(module, _record(module, rollbacks))


def _record(module: PhaseModule, rollbacks: list[dict[str, Any]]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "epochs": module.epochs_trained,
        "best_epoch": module.best_epoch,
        "seconds": module.seconds,
    }
    return record | ({"rollbacks": rollbacks} if rollbacks else {})


def _fit(
    build: Callable[[], nn.Module],
    task: Task,
    phase: Phase,
    settings: RunSettings,
    folder: Path,
    latencies: LatencyTable | None,
    rate_scale: float,
    seconds: float | None,
    progress: Progress,
) -> PhaseModule:
    with suppress_lightning_logging():
        L.seed_everything(settings.seed, verbose=False)
        latency = None if latencies is None else LatencyLoss.asked_for(settings, latencies)
        module = PhaseModule(
            build(), task, phase, settings, latency=latency, rate_scale=rate_scale, time_limit=seconds
        )
        checkpoint = checkpoint_path(folder, phase.name)
        done = epochs_done(checkpoint)
        devices = devices_of(settings)
        if rank(devices) == 0:
            forget_from(folder, phase.name, done)
        callbacks: list[Callback] = [EpochCheckpoint(folder), StopInTime()]
        trainer = trainer_of(
            settings,
            phase,
            callbacks + ([] if progress is silent else [PhaseProgress(progress)]),
            unused=devices.processes > 1 and leaves_unused(module.network, task.input_shape),
            logger=logger_of(settings, folder, phase.name),
            default_root_dir=folder,
        )
        fit(trainer, module, checkpoint if done else None)
    return module
