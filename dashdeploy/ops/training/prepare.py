"""What every training does to a network first."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dashdeploy.ops.conv.half_precision import is_computed_in_half
from dashdeploy.ops.conv.live_taps import skip_dead_taps
from dashdeploy.ops.training.batch_norm import vectorize_batch_norms
from dashdeploy.ops.training.convolution import trained_convolution

_TORCHS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def prepare_for_training(network: nn.Module) -> None:
    """Let the convolutions and batch norms of `network` compute the same in less time, in place.

    Parameters, buffers, their names and the classes of modules stay, so that what is saved, exported or searched does
    not know of it.
    """
    skip_dead_taps(network, trained_convolution)
    _keep_others_in_float32(network)
    vectorize_batch_norms(network)


def _keep_others_in_float32(network: nn.Module) -> None:
    """Let all other convolutions compute in float32, since half precision is wrong for some shapes.

    See `dashdeploy.ops.conv.half_precision`. Calls of torch's functions in a network's own code are not changed.
    """
    for module in network.modules():
        own = getattr(module.forward, "__func__", None)  # an instance may have another
        if isinstance(module, _TORCHS) and own is type(module).forward:
            module.forward = partial(_in_float32, module)  # type: ignore[method-assign]


def _in_float32(conv: nn.Module, x: Tensor, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
    if not is_computed_in_half(x):
        return type(conv).forward(conv, x, *arguments, **named)  # type: ignore[no-any-return]
    with torch.autocast("cpu", enabled=False):
        return type(conv).forward(conv, x.float(), *arguments, **named)  # type: ignore[no-any-return]
