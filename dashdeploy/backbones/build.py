"""The networks whose convolutions are searched, by name, and the same with the kernels that were found."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.convnext import ConvNeXt
from dashdeploy.backbones.ensemble import Ensemble
from dashdeploy.backbones.resnet1d import ResNet1D
from dashdeploy.backbones.tcn import TCN
from dashdeploy.backbones.unet1d import UNet1D
from dashdeploy.backbones.wide_resnet import WideResNet
from dashdeploy.errors import InputError
from dashdeploy.ops.conv.padded_conv import with_kernel
from dashdeploy.references import is_reference, load_reference

BACKBONES: Mapping[str, Callable[..., nn.Module]] = {
    "resnet1d": ResNet1D,
    "tcn": TCN,
    "unet1d": UNet1D,
    "wide_resnet": WideResNet,
    "convnext": ConvNeXt,
}

RANKS: Mapping[str, int] = {"resnet1d": 1, "tcn": 1, "unet1d": 1, "wide_resnet": 2, "convnext": 2}
"""Spatial axes of their inputs."""


@dataclass(frozen=True)
class Width:
    """The argument of a backbone's factory that all its channels are proportional to.

    Attributes:
        argument: its name.
        step: by how much it changes so that every convolution gains or loses 4 channels, or a multiple of 4; vector
            units compute with so many at a time at least.
    """

    argument: str
    step: float


WIDTHS: Mapping[str, Width] = {
    "resnet1d": Width("width", 4),
    "tcn": Width("channels", 4),
    "unet1d": Width("width", 4),
    "wide_resnet": Width("widen", 0.25),
}

DEFAULTS: Mapping[int, str] = {1: "resnet1d", 2: "wide_resnet"}
"""What DASH searches, by the spatial axes of the task."""

# 'same' with an even kernel pads one more on the right; torch warns once that this may copy the input, which
# is what is wanted here and nothing a user could act upon.
warnings.filterwarnings(
    "ignore", message="Using padding='same' with even kernel lengths", category=UserWarning
)


def backbone_factory(name: str) -> Callable[..., Any]:
    """What builds the backbone `name`, one of `BACKBONES` or ``module:factory``.

    Raises:
        InputError: the backbone does not exist.
    """
    if is_reference(name):
        return load_reference("backbone", name)
    factory = BACKBONES.get(name)
    if factory is None:
        close = get_close_matches(name, BACKBONES, 1)
        choices = f"choose from {', '.join(sorted(BACKBONES))}, or write module:factory for your own"
        raise InputError(
            f"`backbone={name}`: no such backbone; {f'did you mean {close[0]}?' if close else choices}"
        )
    return factory


def accepted(name: str, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `offered` that the backbone's factory has a parameter for."""
    known = inspect.signature(backbone_factory(name)).parameters
    return {key: value for key, value in offered.items() if key in known}


def width_of(name: str, arguments: Mapping[str, Any]) -> float:
    """The width of one of `WIDTHS`: what `arguments` say, or its factory's default.

    Raises:
        KeyError: the backbone is not one of them.
    """
    argument = WIDTHS[name].argument
    default = inspect.signature(backbone_factory(name)).parameters[argument].default
    return float(arguments.get(argument, default))


def build_backbone(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the backbone `name` with its original kernels and new weights.

    Args:
        name: one of `BACKBONES`, or ``module:factory``.
        arguments: keyword arguments of its factory, such as in_channels, outputs, width and dense.

    Raises:
        InputError: the backbone does not exist, or it does not take these arguments.
    """
    factory = backbone_factory(name)
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise InputError(
            f"backbone {name}: {error}; it takes {', '.join(inspect.signature(factory).parameters)}"
        ) from error
    try:
        model = factory(**arguments)
    except (ValueError, TypeError) as error:
        raise InputError(f"backbone {name}: {error}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"`backbone={name}`: it returned a {type(model).__name__}, not a torch.nn.Module")
    return model


def build_searched(architecture: Architecture) -> nn.Module:
    """Build the backbone of `architecture` with the kernels that were found, and new weights.

    The result is plain torch: each searched convolution is an ``nn.Conv1d`` or ``nn.Conv2d`` again, which pads by
    itself where torch has no such padding. Of an architecture with towers, it is an `Ensemble` of these.

    Raises:
        InputError: the architecture names a convolution that its backbone does not have.
    """
    towers = architecture.towers
    if towers is None:
        return _build_one(architecture, {})
    return Ensemble([_build_one(architecture, towers.arguments) for _ in range(towers.count)], towers.kind)


def _build_one(architecture: Architecture, arguments: Mapping[str, Any]) -> nn.Module:
    model = build_backbone(architecture.backbone, architecture.own_arguments | dict(arguments))
    modules = dict(model.named_modules())
    for layer in architecture.layers:
        conv = modules.get(layer.name)
        if not isinstance(conv, (nn.Conv1d, nn.Conv2d)):
            raise InputError(
                f"the architecture names {layer.name!r}, which is not a convolution of "
                f"{architecture.backbone}; the run was written by another version: search again"
            )
        if layer.original:
            continue  # with it, its initial weights stay those of the backbone
        replace(model, conv, with_kernel(conv, layer.kernel_size, layer.dilation, causal=layer.causal))
    return model


def replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` wherever `model` has `old`, under however many names."""
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if module is old:
            model.set_submodule(name, new)
