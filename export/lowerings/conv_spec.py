"""What a convolution is, free of any framework and of its weights."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np

from dashdeploy.artifacts.json_files import FrozenModel


class ConvSpec(FrozenModel):
    """One convolution with static spatial sizes.

    Every tuple has one entry per spatial axis.

    Attributes:
        in_channels: channels of the input, all groups together.
        out_channels: channels of the output, all groups together.
        groups: independent groups of channels.
        spatial: the input's spatial extents.
        kernel: taps.
        strides: steps between outputs.
        dilations: distances between taps.
        pads_begin: zeros before the input.
        pads_end: zeros after the input.
        bias: whether a bias is added.
        dtype: NumPy's name of the element type.
        batch: samples per call, for which the costs are asked.
    """

    in_channels: int
    out_channels: int
    groups: int = 1
    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    bias: bool = True
    dtype: str = "float32"
    batch: int = 1

    @property
    def rank(self) -> int:
        """Spatial axes: 1 or 2."""
        return len(self.spatial)

    @property
    def pads(self) -> tuple[int, ...]:
        """All of them, as ONNX's attribute has them."""
        return (*self.pads_begin, *self.pads_end)

    @property
    def out_spatial(self) -> tuple[int, ...]:
        """The output's spatial extents (ONNX operator Conv)."""
        extents = zip(
            self.spatial,
            self.kernel,
            self.strides,
            self.dilations,
            self.pads_begin,
            self.pads_end,
            strict=True,
        )
        return tuple((n + lo + hi - d * (k - 1) - 1) // s + 1 for n, k, s, d, lo, hi in extents)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one call of the direct convolution, padding taps counted."""
        taps = int(np.prod(self.kernel)) * self.in_channels // self.groups
        return self.batch * int(np.prod(self.out_spatial)) * self.out_channels * taps

    @property
    def signature(self) -> str:
        """A short name for costs that were measured: equal for equal convolutions, and for no others."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return sha256(content.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """A line for people: ``64 -> 128, k 7, d 3, n 1000``."""
        parts = [f"{self.in_channels} -> {self.out_channels}", f"k {_axes(self.kernel)}"]
        if any(d != 1 for d in self.dilations):
            parts.append(f"d {_axes(self.dilations)}")
        if any(s != 1 for s in self.strides):
            parts.append(f"stride {_axes(self.strides)}")
        if self.groups != 1:
            parts.append(f"groups {self.groups}")
        parts.append(f"n {_axes(self.spatial)}")
        if self.batch != 1:
            parts.append(f"batch {self.batch}")
        return ", ".join(parts)


def _axes(values: tuple[int, ...]) -> str:
    return "x".join(str(value) for value in values)
