"""A lowered convolution as a torch module: the same tiles, matrices and products as its ONNX form."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim, trim_weight
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.torch.fft import fft_tables
from dashdeploy.export.torch.toom_cook import toom_cook_tables
from dashdeploy.ops.conv.fft_conv import FFTConv
from dashdeploy.ops.conv.toom_cook_conv import ToomCookConv

_CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def torch_layer(
    lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None
) -> nn.Module | None:
    """A module that computes `spec` as `lowering` does; None where torch's own convolution is the same.

    Args:
        lowering: how to compute it.
        spec: the convolution.
        weight: [out_channels, in_channels / groups, *kernel].
        bias: [out_channels], or None.
    """
    living = trim(spec)
    taps = trim_weight(spec, weight).astype(np.float64)
    dtype = torch.from_numpy(weight).dtype
    offset = None if bias is None else torch.from_numpy(bias)
    if isinstance(lowering, FFT):
        return FFTConv(fft_tables(living, taps, lowering.tilings(spec), dtype), offset)
    if isinstance(lowering, ToomCook):
        return ToomCookConv(toom_cook_tables(living, taps, lowering.tilings(spec), dtype), offset)
    if isinstance(lowering, Trimmed) and living.pads_begin == living.pads_end:
        return _convolution(living, trim_weight(spec, weight), bias)
    return None


def _convolution(spec: ConvSpec, weight: Weights, bias: Weights | None) -> nn.Module:
    """PyTorch's own convolution of `spec`, whose padding is the same on both sides."""
    module = _CONVOLUTIONS[spec.rank](
        spec.in_channels,
        spec.out_channels,
        spec.kernel,  # type: ignore[arg-type]
        stride=spec.strides,  # type: ignore[arg-type]
        padding=spec.pads_begin,  # type: ignore[arg-type]
        dilation=spec.dilations,  # type: ignore[arg-type]
        groups=spec.groups,
        bias=bias is not None,
    )
    with torch.no_grad():
        module.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)))
        if bias is not None:
            module.bias = nn.Parameter(torch.from_numpy(bias))
    return module
