"""A lowered convolution as a torch module: the same tiles, matrices and products as its ONNX form."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.canonical_form import (
    canonical,
    canonical_weight,
    folded_axes,
    kept_axes,
)
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
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
    least, living = canonical(spec), trim(spec)
    taps = canonical_weight(spec, weight).astype(np.float64)
    dtype = torch.from_numpy(weight).dtype
    offset = None if bias is None else torch.from_numpy(bias)
    layer: nn.Module
    # Modules of torch have the FFT in one form alone, which computes the same.
    if isinstance(lowering, FFT | CooleyTukey):
        layer = FFTConv(fft_tables(least, taps, lowering.tilings(spec), dtype), offset)
    elif isinstance(lowering, ToomCook):
        layer = ToomCookConv(toom_cook_tables(least, taps, lowering.tilings(spec), dtype), offset)
    elif isinstance(lowering, Trimmed) and living.pads_begin == living.pads_end:
        return _convolution(living, trim_weight(spec, weight), bias)
    else:
        return None
    return layer if least.rank == spec.rank else _FoldedAxes(spec, layer)


def direct_layer(spec: ConvSpec, weight: Weights, bias: Weights | None) -> nn.Module:
    """Torch's own convolution of `spec`, with any padding; the arguments are those of `torch_layer`."""
    if spec.pads_begin == spec.pads_end:
        return _convolution(spec, weight, bias)
    sides = list(zip(spec.pads_begin, spec.pads_end, strict=True))
    bare = spec.model_copy(
        update={
            "spatial": tuple(n + sum(pair) for n, pair in zip(spec.spatial, sides, strict=True)),
            "pads_begin": (0,) * spec.rank,
            "pads_end": (0,) * spec.rank,
        }
    )
    pad = nn.ZeroPad1d if spec.rank == 1 else nn.ZeroPad2d
    around = tuple(side for pair in reversed(sides) for side in pair)
    return nn.Sequential(pad(around), _convolution(bare, weight, bias))  # type: ignore[arg-type]


class _FoldedAxes(nn.Module):
    """A layer of the canonical form, for inputs and outputs of the convolution as the network has it."""

    def __init__(self, spec: ConvSpec, layer: nn.Module) -> None:
        super().__init__()
        self._order = (0, 1, *(2 + axis for axis in (*folded_axes(spec), *kept_axes(spec))))
        self._shape, self._out_shape = canonical(spec).spatial, spec.out_spatial
        self._channels, self._out_channels = canonical(spec).in_channels, spec.out_channels
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, channels, *spatial] to [batch, out_channels, *out_spatial]."""
        folded = x.permute(self._order).reshape(-1, self._channels, *self._shape)
        y: torch.Tensor = self.layer(folded)
        return y.reshape(-1, self._out_channels, *self._out_shape)


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
