"""The networks whose convolutions are searched, by name, and the same with the kernels that were found."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from dashdeploy.backbones.resnet1d import ResNet1D
from dashdeploy.errors import InputError
from dashdeploy.run_directory import Architecture

BACKBONES: Mapping[str, Callable[..., nn.Module]] = {"resnet1d": ResNet1D}

# 'same' with an even kernel pads one more on the right; torch warns once that this may copy the input, which
# is what is wanted here and nothing a user could act upon.
warnings.filterwarnings(
    "ignore", message="Using padding='same' with even kernel lengths", category=UserWarning
)


def build_backbone(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the backbone `name` with its original kernels and new weights.

    Args:
        name: one of `BACKBONES`.
        arguments: keyword arguments of its factory, such as in_channels, outputs, width and dense.

    Raises:
        InputError: there is no such backbone, or it does not take these arguments.
    """
    factory = BACKBONES.get(name)
    if factory is None:
        close = get_close_matches(name, BACKBONES, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(BACKBONES))}"
        raise InputError(f"--backbone {name}: no such backbone; {hint}")
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise InputError(
            f"backbone {name}: {error}; it takes {', '.join(inspect.signature(factory).parameters)}"
        ) from error
    return factory(**arguments)


def build_searched(architecture: Architecture) -> nn.Module:
    """Build the backbone of `architecture` with the kernels that were found, and new weights.

    The result is plain torch: each searched convolution is an ``nn.Conv1d`` of stride 1 with 'same' padding.

    Raises:
        InputError: the architecture names a convolution that its backbone does not have.
    """
    model = build_backbone(architecture.backbone, architecture.arguments)
    modules = dict(model.named_modules())
    for layer in architecture.layers:
        conv = modules.get(layer.name)
        if not isinstance(conv, nn.Conv1d):
            raise InputError(
                f"the architecture names {layer.name!r}, which is not a convolution of "
                f"{architecture.backbone}; the run was written by another version: search again"
            )
        replacement = nn.Conv1d(
            conv.in_channels,
            conv.out_channels,
            layer.kernel_size,
            dilation=layer.dilation,
            padding="same",
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        model.set_submodule(layer.name, replacement)
    return model
