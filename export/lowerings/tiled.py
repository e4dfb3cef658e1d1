"""What the lowerings by tiles share: tile lengths, and the form of the products with the taps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Self

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.canonical_form import canonical
from dashdeploy.export.lowerings.conv_spec import ConvSpec

_BLOCK = 8
"""Channels that engines keep together in a Conv; with other numbers they fall back to plain products."""


@dataclass(frozen=True)
class TiledLowering(Lowering):
    """A convolution by tiles, whose products with the taps are a batched MatMul or a grouped Conv.

    Args:
        tile: T per spatial axis of the canonical form, even and at least its number of taps.
        grouped: whether the products are a grouped Conv; see `rows_writer`.
    """

    tile: tuple[int, ...]
    grouped: bool = False

    @property
    def label(self) -> str:
        """The name with its parameters: ``fft(tile=48)``, ``toom-cook(tile=6x6, grouped)``."""
        tile = "x".join(map(str, self.tile))
        return f"{self.name}(tile={tile}, grouped)" if self.grouped else f"{self.name}(tile={tile})"

    def with_grouped_products(self, spec: ConvSpec) -> Self | None:
        """The same tiles with a grouped Conv, for whole blocks of channels in float32 without groups."""
        form = canonical(spec)
        depth = prod(form.strides) * form.in_channels
        blocks = depth % _BLOCK == 0 and form.out_channels % _BLOCK == 0
        return (
            replace(self, grouped=True) if blocks and form.groups == 1 and form.dtype == "float32" else None
        )
