"""Every method of AggConv on the device, in float32 without TF32, against equation 2 in float64 on the CPU."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from dashdeploy.bench.gpu_check.report import Row
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.ops.aggconv.module import AggConv, AggConv1d, AggConv2d
from dashdeploy.ops.conv.frame import Frame
from dashdeploy.runtimes.torch.device import tf32

TOLERANCE = 1e-4
"""Of the largest value. float32 rounds at 6e-8; sums of ten thousand terms and transforms add two or three digits."""

_CASES = {
    "series, dense": (AggConv1d, 16, 1, (250,), (1,), (1, 3, 7, 15)),
    "series, dense, in tiles": (AggConv1d, 16, 1, (2000,), (1,), (1, 3, 7, 15)),
    "series, two groups, stride 2": (AggConv1d, 16, 2, (251,), (2,), (1, 3, 7, 15)),
    "series, depthwise": (AggConv1d, 16, 16, (250,), (1,), (1, 3, 7, 15)),
    "images, dense": (AggConv2d, 8, 1, (32, 32), (1, 1), (1, 3, 7)),
    "images, depthwise": (AggConv2d, 8, 8, (32, 32), (1, 1), (1, 3, 7)),
}


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for every case and method: the largest differences of the output and of the gradients.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether one case of either rank will do.
        seconds: it takes a few.
    """
    del seconds
    names = ("series, dense", "images, dense") if quick else tuple(_CASES)
    for name in names:
        cls, channels, groups, spatial, stride, dilations = _CASES[name]
        torch.manual_seed(0)
        frame = Frame(stride, (0,) * cls.rank, (0,) * cls.rank)
        layer = cls(channels, channels, (3, 5, 7), dilations, groups=groups, frame=frame)
        x = torch.randn(4, channels, *spatial)
        expected = _values(layer, x, "mixed-results", "cpu", torch.float64)
        for method in METHODS:
            with tf32(allowed=False):
                found = _values(layer, x, method, device, torch.float32)
            errors = {what: _error(found[what], expected[what]) for what in expected}
            worst = max(errors.values())
            yield Row(
                what=f"{name}: {method}",
                figures={f"error of {what}": error for what, error in errors.items()},
                passed=worst <= TOLERANCE,
                reason=None if worst <= TOLERANCE else f"more than {TOLERANCE:g} of the largest value",
            )


def _values(layer: AggConv, x: Tensor, method: str, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The output and the gradients of the input, the weight and the architecture parameters."""
    layer = copy.deepcopy(layer).to(device, dtype)
    layer.method = method  # type: ignore[assignment]
    x = x.to(device, dtype).requires_grad_()
    y = layer(x)
    towards = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    gradients = torch.autograd.grad((y * towards).sum(), (x, layer.weight, layer.alpha))
    named = zip(("output", "input's gradient", "weight's", "alpha's"), (y, *gradients), strict=True)
    return {name: value.detach().double().cpu() for name, value in named}


def _error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value; infinite where something is not finite."""
    error = float((found - expected).abs().max() / expected.abs().max())
    return error if math.isfinite(error) else float("inf")
