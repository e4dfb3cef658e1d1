"""One phase from its last checkpoint to its end: what Lightning runs, and what happens if it diverges."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from dashdeploy.data.task import Task
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.devices import Devices, devices_of, local_rank, rank
from dashdeploy.search.distributed.processes import ProcessEnvironment, wait_for_all
from dashdeploy.search.staging_directory import finish_phase, phase_result, write_json
from dashdeploy.search.supernet.probe import leaves_unused
from dashdeploy.search.training.checkpoint import FOLDER_NAME, EpochCheckpoint, checkpoint_path, epochs_done
from dashdeploy.search.training.history import forget_from
from dashdeploy.search.training.lightning_logging import quiet_lightning
from dashdeploy.search.training.loggers import logger_of
from dashdeploy.search.training.phase_module import DivergedError, PhaseModule
from dashdeploy.search.training.progress import PhaseProgress, note
from dashdeploy.search.training.time_limit import StopInTime

MOST_ROLLBACKS = 3
ROLLBACK_FACTOR = 0.3
"""What all learning rates are multiplied by when a phase diverged."""


@dataclass(frozen=True)
class PhaseJob:
    """A phase to be trained.

    Attributes:
        task: the data, the loss and the metric.
        settings: every hyperparameter.
        phase: what sets it apart from the others.
        build: makes its network, with new weights.
        keep: writes what comes of it; called with the trained module.
        folder: the unfinished run.
        progress: whether to show progress on stderr.
        seconds: how long it may take; None is as long as it needs.
        prepare: changes the new module before it is trained.
    """

    task: Task
    settings: SearchSettings
    phase: Phase
    build: Callable[[], nn.Module]
    keep: Callable[[PhaseModule], None]
    folder: Path
    progress: bool = False
    seconds: float | None = None
    prepare: Callable[[PhaseModule], None] = field(default=lambda _: None)


def train_phase(job: PhaseJob) -> None:
    """Train a phase unless it is finished, from its checkpoint on, keep the result and mark it as finished.

    A phase that diverges goes back to its last whole epoch with smaller learning rates, up to `MOST_ROLLBACKS`
    times; the result names every time.

    Raises:
        DivergedError: it diverged once more.
        KeyboardInterrupt: the user interrupted it.
    """
    if phase_result(job.folder, job.phase.name) is not None:
        return
    writes = rank(devices_of(job.settings)) == 0
    record = job.folder / FOLDER_NAME / f"{job.phase.name}.rollbacks.json"
    rollbacks: list[dict[str, Any]] = json.loads(record.read_bytes()) if record.exists() else []
    while True:
        try:
            module = _fit(job, ROLLBACK_FACTOR ** len(rollbacks))
            break
        except DivergedError as error:
            if len(rollbacks) >= MOST_ROLLBACKS:
                raise
            rollbacks.append({"epoch": error.epoch, "reason": error.loss})
            if writes:
                write_json(record, rollbacks)
            if job.progress:
                factor = ROLLBACK_FACTOR ** len(rollbacks)
                note(f"{error.loss}; back to the last good epoch, with {factor:.2g} times the learning rates")
    if writes:
        _finish(job, module, rollbacks)
        record.unlink(missing_ok=True)
    wait_for_all()


def _finish(job: PhaseJob, module: PhaseModule, rollbacks: list[dict[str, Any]]) -> None:
    job.keep(module)
    result: dict[str, Any] = {
        "epochs": module.epochs_trained,
        "best_epoch": module.best_epoch,
        "seconds": module.seconds,
    }
    if rollbacks:
        result["rollbacks"] = rollbacks
    finish_phase(job.folder, job.phase.name, result)


def _fit(job: PhaseJob, rate_scale: float) -> PhaseModule:
    with quiet_lightning():
        L.seed_everything(job.settings.seed, verbose=False)
        module = PhaseModule(job.build(), job.task, job.phase, job.settings)
        module.rate_scale, module.time_limit = rate_scale, job.seconds
        job.prepare(module)
        checkpoint = checkpoint_path(job.folder, job.phase.name)
        done = epochs_done(checkpoint)
        processes = devices_of(job.settings).processes
        if rank(devices_of(job.settings)) == 0:
            forget_from(job.folder, job.phase.name, done)
        callbacks: list[Callback] = [EpochCheckpoint(job.folder), StopInTime()]
        trainer = trainer_of(
            job.settings,
            job.phase,
            callbacks + ([PhaseProgress()] if job.progress else []),
            unused=processes > 1 and leaves_unused(module.network, job.task.input_shape),
            logger=logger_of(job.settings, job.folder, job.phase.name),
            default_root_dir=job.folder,
        )
        fit(trainer, module, checkpoint if done else None)
    return module


def fit(trainer: L.Trainer, module: PhaseModule, checkpoint: Path | None = None) -> None:
    """Train `module`, from `checkpoint` on if there is one.

    Raises:
        DivergedError: a loss is not finite any more.
        KeyboardInterrupt: the user interrupted it.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as error:
        # Lightning turns Ctrl-C into an exit and leaves SIGINT ignored; undo both: the caller decides.
        signal.signal(signal.SIGINT, signal.default_int_handler if handler is None else handler)
        raise KeyboardInterrupt from error


def _placement(devices: Devices, *, alone: bool, unused: bool) -> dict[str, Any]:
    """Lightning's arguments for where a network is trained."""
    shared: dict[str, Any] = {
        "accelerator": {"cuda": "gpu"}.get(devices.accelerator, devices.accelerator),
        "plugins": [ProcessEnvironment(devices, alone=alone)],
    }
    if alone or devices.processes == 1:
        return shared | {"devices": [local_rank(devices)] if devices.is_cuda else 1}
    return shared | {
        "devices": devices.count,
        "num_nodes": devices.nodes,
        "strategy": DDPStrategy(find_unused_parameters=unused),
        "sync_batchnorm": devices.is_cuda,  # torch has it for GPUs alone
        "use_distributed_sampler": False,  # TensorBatches takes a process's part itself
    }


def trainer_of(
    settings: SearchSettings,
    phase: Phase,
    callbacks: list[Callback],
    *,
    alone: bool = False,
    unused: bool = False,
    **more: Any,  # noqa: ANN401 - Lightning's own arguments
) -> L.Trainer:
    """A Trainer for one phase, with no output of its own.

    Args:
        settings: where it computes, and how.
        phase: its epochs, and how gradients are clipped.
        callbacks: what to call back.
        alone: whether it computes on this process's device only.
        unused: whether the network has parameters without influence.
        more: for Lightning's Trainer.
    """
    return L.Trainer(
        **_placement(devices_of(settings), alone=alone, unused=unused),
        precision=settings.precision,
        max_epochs=phase.epochs,
        gradient_clip_val=phase.clip or None,
        accumulate_grad_batches=settings.accumulate,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **more,
    )
