"""A checkpoint after every epoch, which replaces the last one only once it is whole."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import PhaseName
from dashdeploy.search.staging.directory import CHECKPOINTS_NAME
from dashdeploy.search.training.history import append_record
from dashdeploy.search.training.lightning_module import PhaseModule


def checkpoint_path(folder: Path, phase: PhaseName) -> Path:
    """Where the run in `folder` keeps the last whole epoch of `phase`."""
    return folder / CHECKPOINTS_NAME / f"{phase}.ckpt"


def rollbacks_path(folder: Path, phase: PhaseName) -> Path:
    """Where the run in `folder` keeps the divergences of `phase` while that is unfinished."""
    return folder / CHECKPOINTS_NAME / f"{phase}.rollbacks.json"


def epochs_done(path: Path) -> int:
    """Epochs that the checkpoint at `path` holds; 0 if there is none.

    Raises:
        InputError: it cannot be read.
    """
    if not path.exists():
        return 0
    # mmap reads the entry alone, not the weights.
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is damaged; delete it to train this phase anew, and resume") from error


def save_training(trainer: L.Trainer, path: Path) -> None:
    """Save the whole training state at `path`, all of it or nothing; every process takes part, the first writes."""
    unfinished = path.with_suffix(".part")
    trainer.save_checkpoint(unfinished)
    if not trainer.is_global_zero:
        return
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


class EpochCheckpoint(Checkpoint):
    """Appends the epoch to the history, then saves the whole training state atomically.

    In this order a kill between the two leaves a history that is ahead, which resuming cuts back.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save after the last batch and the validation of an epoch."""
        assert isinstance(pl_module, PhaseModule)
        if trainer.is_global_zero:
            append_record(self.folder, pl_module.record)
        save_training(trainer, checkpoint_path(self.folder, pl_module.phase.name))
