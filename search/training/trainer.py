"""Lightning's Trainer as the search uses it: where it computes, and without output of its own."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy

from dashdeploy.search.config.devices import Devices
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.processes import ProcessEnvironment
from dashdeploy.search.distributed.ranks import devices_of, local_rank
from dashdeploy.search.training.lightning_module import PhaseModule

LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric")


@contextmanager
def suppress_lightning_logging() -> Iterator[None]:
    """Within the block, Lightning tells no tips and warns of nothing; errors and others' warnings stay.

    A user of a search has no Trainer to configure.
    """
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\b.*")
            # Raised by torch at Lightning's own use of it.
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


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
    settings: RunSettings,
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
