"""The networks of a run: which backbone, with which arguments, and its supernet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from dashdeploy.backbones.build import BACKBONES, DEFAULTS, RANKS, accepted, build_backbone
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError, first_line
from dashdeploy.ops.aggconv.cost import Choice
from dashdeploy.ops.aggconv.rates import Rates
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.build import agg_convs, build_supernet
from dashdeploy.search.supernet.probe import FAILURES, SAMPLES, run_once


def backbone_name(task: Task, settings: SearchSettings) -> str:
    """The backbone that the settings name, or DASH's for the task.

    Raises:
        InputError: the backbone does not exist, or its inputs have other axes.
    """
    name = DEFAULTS.get(task.rank, "") if settings.backbone == "auto" else settings.backbone
    if not name or RANKS.get(name, task.rank) != task.rank:
        kinds = {1: "series [channels, length]", 2: "images [channels, height, width]"}
        raise InputError(
            f"task {task.name}: inputs of shape {list(task.input_shape)} are not {kinds[RANKS.get(name, 1)]}, which "
            f"the backbone {name or settings.backbone} takes; choose another `backbone`"
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
            f"`backbone={name}`: task {task.name} predicts every position, which it does not; use resnet1d"
        )
    return arguments | settings.backbone_arguments | (settings.retrain_arguments if retrain else {})


def network_arguments(task: Task, settings: SearchSettings, *, retrain: bool) -> dict[str, Any]:
    """Arguments of the factory for the network that is searched: the backbone's, and those that it alone has."""
    return backbone_arguments(task, settings, retrain=retrain) | (settings.searched_arguments or {})


def takes_dropout(name: str) -> bool:
    """Whether the backbone `name` has a dropout to tune."""
    return bool(accepted(name, {"dropout": 0.0}))


def takes_width(name: str) -> bool:
    """Whether the width can be set in the backbone `name`."""
    return bool(accepted(name, {"width": 1}))


def supernet_of(
    task: Task,
    settings: SearchSettings,
    rates: Rates | None = None,
    choices: Mapping[str, Choice] | None = None,
) -> tuple[nn.Module, dict[str, str]]:
    """The supernet, and what of the backbone stays as it is, with the reasons.

    Args:
        task: tells the inputs and the outputs.
        settings: the backbone and the search space.
        rates: by which AggConvs choose how they are computed; None takes the table of the device they are on.
        choices: what they take instead, where it was measured.
    """
    model = build_backbone(backbone_name(task, settings), network_arguments(task, settings, retrain=False))
    kept = build_supernet(
        model,
        settings.kernel_sizes,
        settings.dilations,
        settings.method,
        input_shape=task.input_shape,
        exclude=settings.exclude,
        separable=settings.separable,
    )
    for layer in agg_convs(model).values():
        layer.rates, layer.choices = rates, choices or {}
    return model, kept


def check_retrained(task: Task, settings: SearchSettings, searched: Collection[str]) -> None:
    """Find out before long work whether the networks that are retrained fit the task and what was searched.

    A network of the user's own may give whatever it likes, and some losses would broadcast it without a word.

    Args:
        task: tells the shapes.
        settings: the backbone and its arguments.
        searched: names of the convolutions of the supernet that are searched.

    Raises:
        InputError: it has lazy modules, lacks one of these convolutions, does not take the task's inputs, or gives
            outputs of another shape.
    """
    name = backbone_name(task, settings)
    of_backbone, of_searched = (
        arguments(task, settings, retrain=True) for arguments in (backbone_arguments, network_arguments)
    )
    _check_network(task, name, of_backbone, searched)
    if of_searched != of_backbone:
        _check_network(task, name, of_searched, searched)


def _check_network(task: Task, name: str, arguments: Mapping[str, Any], searched: Collection[str]) -> None:
    """Refuse the backbone `name` with these `arguments`, as `check_retrained` says."""
    model = build_backbone(name, arguments)
    for parameter, content in model.named_parameters():
        if isinstance(content, UninitializedParameter):
            raise InputError(
                f"`backbone={name}`: {parameter} has no size before the first call; name the sizes of lazy modules "
                "(a factory that has a parameter input_shape gets [channels, ...])"
            )
    known = dict(model.named_modules())
    absent = next(
        (each for each in searched if not isinstance(known.get(each), (nn.Conv1d, nn.Conv2d))), None
    )
    if absent is not None:
        raise InputError(
            f"the convolution {absent} is searched, and the backbone {name} with the arguments {dict(arguments)} has "
            "none; use such `retrain_arguments` and `searched_arguments` that change widths alone"
        )
    try:
        output: object = run_once(model, task.input_shape)
    except FAILURES as error:
        raise InputError(
            f"the backbone {name} as it is retrained does not take samples of shape {list(task.input_shape)}: "
            f"{first_line(error)}; choose other arguments"
        ) from error
    wanted = [SAMPLES, task.outputs, *(task.input_shape[1:] if task.dense else ())]
    if not isinstance(output, Tensor) or list(output.shape) != wanted:
        given = f"shape {list(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise InputError(
            f"`backbone={name}`: for {SAMPLES} samples it gives {given}, and the task {task.name} needs one tensor "
            f"of shape {wanted}: samples, outputs{', then every position' if task.dense else ''}; correct the network"
        )
