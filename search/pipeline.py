"""The search from beginning to end: supernet, architecture, retraining, baseline, one look at the test data.

DASH (Shen, Khodak, Talwalkar, NeurIPS 2022) with three differences from its released code: what is searched
is what is retrained (padding, groups and bias included), the epoch is chosen on validation data instead of
test data, and a killed run goes on bit for bit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dashdeploy.backbones import BACKBONES, DEFAULTS, RANKS, accepted, build_backbone, build_searched
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.run_directory import (
    ARCHITECTURE_NAME,
    BACKBONE_WEIGHTS_NAME,
    METRICS_NAME,
    SAMPLES_NAME,
    WEIGHTS_NAME,
    Architecture,
    Run,
    load_architecture,
    load_weights,
)
from dashdeploy.search.architecture_gradient import unmix
from dashdeploy.search.checkpoint import EpochCheckpoint, checkpoint_path, epochs_done
from dashdeploy.search.evaluate import evaluate
from dashdeploy.search.history import forget_from
from dashdeploy.search.partial_run import (
    finish,
    finish_phase,
    open_partial,
    partial_path,
    phase_result,
    run_config,
    write_json,
)
from dashdeploy.search.progress import PhaseProgress, announce
from dashdeploy.search.quiet import quiet_lightning
from dashdeploy.search.settings import SearchSettings
from dashdeploy.search.supernet import agg_convs, build_supernet, discretize
from dashdeploy.search.training import Phase, PhaseModule, phases
from dashdeploy.tasks import Split, Task

FEWEST_TRAINING_SAMPLES = 2  # batch norm cannot normalize a lone sample
MOST_SAMPLES_KEPT = 256


def search(
    task: Task, settings: SearchSettings, out: Path, *, resume: bool = False, progress: bool = True
) -> Run:
    """Search the kernels that fit `task`, retrain the result, train the unsearched backbone beside it.

    The run is built in ``OUT.partial`` and renamed to `out` when it is finished.

    Args:
        task: the data, the loss and the metric.
        settings: every hyperparameter.
        out: where the run directory is to appear.
        resume: whether to go on with an unfinished run of the same task and settings; a finished one is
            returned as it is.
        progress: whether to show progress on stderr.

    Returns:
        The finished run.

    Raises:
        InputError: `out` is taken or cannot be written, an unfinished run is in the way or was started with
            other settings, the task and the backbone do not fit, or the training diverged.
        MissingCapabilityError: the settings ask for a device that this machine lacks.
        KeyboardInterrupt: the user interrupted it; the unfinished run can be resumed.
    """
    if out.exists():
        if resume:
            return Run.load(out)
        raise InputError(f"{out} already exists; choose another --out or remove it first")
    kept = _check(task, settings)
    try:
        with open_partial(out, run_config(task, settings), resume=resume) as folder:
            _run_phases(task, settings, folder, kept, progress=progress)
            finish(folder, out)
    except OSError as error:
        raise InputError(
            f"cannot write {partial_path(out)}: {error.strerror or error}; choose an --out that is writable "
            "and has room"
        ) from error
    return Run.load(out)


def _check(task: Task, settings: SearchSettings) -> dict[str, str]:
    """Refuse what cannot work before anything is written; gives the convolutions that are not searched."""
    count = len(task.train.targets)
    if count < FEWEST_TRAINING_SAMPLES:
        raise InputError(f"task {task.name}: {count} training samples are too few to train")
    if settings.devices == "cuda" and not torch.cuda.is_available():
        raise MissingCapabilityError(
            "devices = 'cuda': torch sees no NVIDIA GPU; use 'auto', or install the driver and a CUDA build "
            "of torch with: pip install torch"
        )
    _, kept = supernet_of(task, settings)
    build_backbone(backbone_name(task, settings), backbone_arguments(task, settings, retrain=True))
    return kept


def backbone_name(task: Task, settings: SearchSettings) -> str:
    """The backbone that the settings name, or DASH's for the task.

    Raises:
        InputError: there is no such backbone, or its inputs have other axes.
    """
    name = DEFAULTS.get(task.rank, "") if settings.backbone == "auto" else settings.backbone
    if not name or RANKS.get(name, task.rank) != task.rank:
        kinds = {1: "series [channels, length]", 2: "images [channels, height, width]"}
        raise InputError(
            f"task {task.name}: inputs of shape {list(task.input_shape)} are not {kinds[RANKS.get(name, 1)]}, which "
            f"the backbone {name or settings.backbone} takes; choose another --backbone"
        )
    return name


def backbone_arguments(task: Task, settings: SearchSettings, *, retrain: bool) -> dict[str, Any]:
    """Arguments of the backbone's factory: what it accepts of the task's own, then the user's."""
    name = backbone_name(task, settings)
    offered = {
        "in_channels": task.input_shape[0],
        "outputs": task.outputs,
        "width": settings.width,
        "dense": task.dense,
        "input_shape": list(task.input_shape),
    }
    arguments = accepted(name, offered)
    if task.dense and name in BACKBONES and "dense" not in arguments:
        raise InputError(
            f"--backbone {name}: task {task.name} predicts every position, which it does not; use resnet1d"
        )
    return arguments | settings.backbone_arguments | (settings.retrain_arguments if retrain else {})


def supernet_of(task: Task, settings: SearchSettings) -> tuple[nn.Module, dict[str, str]]:
    """The supernet, and what of the backbone stays as it is, with the reasons."""
    model = build_backbone(backbone_name(task, settings), backbone_arguments(task, settings, retrain=False))
    kept = build_supernet(
        model,
        settings.kernel_sizes,
        settings.dilations,
        settings.method,
        input_shape=task.input_shape,
        exclude=settings.exclude,
        separable=settings.separable,
    )
    return model, kept


def _run_phases(
    task: Task, settings: SearchSettings, folder: Path, kept: dict[str, str], *, progress: bool
) -> None:
    name, arguments = backbone_name(task, settings), backbone_arguments(task, settings, retrain=True)
    plan = phases(settings)

    def backbone() -> nn.Module:
        return build_backbone(name, arguments)

    def supernet() -> nn.Module:
        model = supernet_of(task, settings)[0]
        if progress:
            announce(len(agg_convs(model)), kept)
        return model

    def keep_architecture(module: PhaseModule) -> None:
        unmix(agg_convs(module.network).values(), settings)
        architecture = Architecture(
            backbone=name,
            arguments=arguments,
            kernel_sizes=list(settings.kernel_sizes),
            dilations=list(settings.dilations),
            layers=discretize(module.network),
            kept=kept,
        )
        write_json(folder / ARCHITECTURE_NAME, architecture.model_dump())

    def keep_weights(name: str) -> Callable[[PhaseModule], None]:
        return lambda module: _save_weights(folder / name, module.best_state)

    def train(phase: Phase, build: Callable[[], nn.Module], keep: Callable[[PhaseModule], None]) -> None:
        if phase_result(folder, phase.name) is None:
            _train_phase(task, settings, phase, build, keep, folder, progress=progress)

    train(plan["search"], supernet, keep_architecture)
    architecture = load_architecture(folder)
    train(plan["retrain"], lambda: build_searched(architecture), keep_weights(WEIGHTS_NAME))
    train(plan["backbone"], backbone, keep_weights(BACKBONE_WEIGHTS_NAME))
    _keep_samples(folder / SAMPLES_NAME, task.validation)
    searched = load_weights(build_searched(architecture), folder / WEIGHTS_NAME)
    original = load_weights(backbone(), folder / BACKBONE_WEIGHTS_NAME)
    _write_metrics(folder, task, searched, original)


def _train_phase(
    task: Task,
    settings: SearchSettings,
    phase: Phase,
    build: Callable[[], nn.Module],
    keep: Callable[[PhaseModule], None],
    folder: Path,
    *,
    progress: bool,
) -> None:
    """Train what `build` makes, from its checkpoint on; `keep` the result and mark the phase finished."""
    with quiet_lightning():
        L.seed_everything(settings.seed, verbose=False)
        module = PhaseModule(build(), task, phase, settings)
        checkpoint = checkpoint_path(folder, phase.name)
        done = epochs_done(checkpoint)
        forget_from(folder, phase.name, done)
        trainer = L.Trainer(
            accelerator={"cuda": "gpu"}.get(settings.devices, settings.devices),
            devices=1,
            max_epochs=phase.epochs,
            gradient_clip_val=phase.clip or None,
            callbacks=[EpochCheckpoint(folder), *([PhaseProgress()] if progress else [])],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        try:
            trainer.fit(module, ckpt_path=checkpoint if done else None, weights_only=True)
        except SystemExit as error:
            # Lightning turns Ctrl-C into an exit and leaves SIGINT ignored; undo both: the caller decides.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from error
    keep(module)
    finish_phase(
        folder,
        phase.name,
        {"epochs": phase.epochs, "best_epoch": module.best_epoch, "seconds": module.seconds},
    )


def _save_weights(path: Path, state: dict[str, Tensor]) -> None:
    partial = path.with_suffix(".part")
    save_file(state, partial)
    partial.chmod(0o644)  # safetensors makes it private
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def _keep_samples(path: Path, validation: Split) -> None:
    """Store real inputs that export and bench can run the model on, without the data set."""
    inputs, targets = (tensor[:MOST_SAMPLES_KEPT].numpy() for tensor in validation)
    with path.open("wb") as file:
        np.savez_compressed(file, inputs=inputs, targets=targets)


def _write_metrics(folder: Path, task: Task, searched: nn.Module, original: nn.Module) -> None:
    """Measure both networks; the only place that touches the test data."""
    seconds = {}
    for name in ("search", "retrain", "backbone"):
        result = phase_result(folder, name)
        seconds[name] = round(result["seconds"], 3) if result else 0.0
    device = torch.device("cpu")
    scores = {
        label: {
            "validation": evaluate(model.to(device), task.validation, task.metric),
            "test": evaluate(model.to(device), task.test, task.metric),
        }
        for label, model in (("searched", searched), ("backbone", original))
    }
    metrics = {
        "task": task.name,
        "metric": task.metric.name,
        **scores,
        "seconds": {"search": seconds["search"], "tune": 0.0, **seconds},
    }
    write_json(folder / METRICS_NAME, metrics)
