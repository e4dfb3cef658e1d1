"""The networks of a run: which backbone, with which arguments, and its supernet."""

from __future__ import annotations

from typing import Any

from torch import nn

from dashdeploy.backbones import BACKBONES, DEFAULTS, RANKS, accepted, build_backbone
from dashdeploy.errors import InputError
from dashdeploy.search.settings import SearchSettings
from dashdeploy.search.supernet import build_supernet
from dashdeploy.tasks import Task


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
    if settings.dropout is not None:
        offered["dropout"] = settings.dropout
    arguments = accepted(name, offered)
    if task.dense and name in BACKBONES and "dense" not in arguments:
        raise InputError(
            f"--backbone {name}: task {task.name} predicts every position, which it does not; use resnet1d"
        )
    return arguments | settings.backbone_arguments | (settings.retrain_arguments if retrain else {})


def takes_dropout(name: str) -> bool:
    """Whether the backbone `name` has a dropout to tune."""
    return bool(accepted(name, {"dropout": 0.0}))


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
