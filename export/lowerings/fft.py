"""The FFT convolution in one or two dimensions, in ordinary operators.

Tiles, phases and strides are `AxisTiling`'s, a tile along one axis is `FFTForm`'s; this module joins the axes and
writes the operators. Along every axis a tile is split into its even and odd part, so r axes give 2^r *parity
parts*; a subset m of the axes names the part that is odd along those. With T[m] the part transformed by sines along
the axes in m and by cosines along the others, the spectrum at the frequencies (+-w_1, ..., +-w_{r-1}, +w_r) is

    X(signs) = sum_m (-i)^|m| signs^m T[m],        signs^m = product of the signs of the axes in m

so even |m| give the real part and odd |m| the imaginary one (the last axis needs its positive frequencies only:
the tile is real). Each sign pattern takes three real products; backwards, part m of the outputs is the sum over the
sign patterns of signs^m Re(i^|m| Y(signs)). The signs (-1)^ceil(|m|/2) are folded into the constant matrices.

The layout makes every move a copy of blocks: positions first, channels last. With B the batch and M the tiles:

    x [B, C, *spatial] -> [N, B, C] -> pad -> (stride: rows of the splits) -> per corner of the tiles, gather
      -> parity parts [H.., M B C] -> MatMul with the constant matrices -> spectra
      -> batched MatMul with the spectra of the taps, [H.., M B, Cin] x [H.., Cin, Cout], three per sign pattern
      -> parity parts of the outputs -> MatMul -> corners -> gather the outputs in order -> [B, C, *spatial]

Groups are an axis in front of all others. The transposes at both ends cancel between neighboring layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.canonical_form import canonical, canonical_weight
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.tiling import AxisTiling, TiledLowering
from dashdeploy.export.lowerings.writers.fft_writer import FFTWriter, few_tiles

_TILES = {
    1: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256),
    2: (4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64),
}
"""Tile lengths by rank. In one dimension half of each is a multiple of 4, which small matrix products like."""

_PASSES = {1: 4, 2: 6}
"""How often every number of the tiles is written and read again on the way to the spectra, and back, by rank."""


@dataclass(frozen=True)
class FFT(TiledLowering):
    """FFT convolution; the arguments are those of `TiledLowering`."""

    name: ClassVar[str] = "fft"
    revision: ClassVar[int] = 4

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """More than two axes that cannot be folded, and everything that is not float32 or float64."""
        if spec.dtype not in ("float32", "float64"):
            return f"{spec.dtype}: the FFT form is for float32 and float64"
        if min(spec.pads_begin + spec.pads_end) < 0:
            return "negative padding"
        if min(spec.out_spatial) < 1:
            return "no output: the kernel is longer than the padded input"
        rank = canonical(spec).rank
        return None if rank in _TILES else f"{rank} spatial axes: the FFT form is for one or two"

    @classmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:
        """Tile lengths from just above the taps to the whole phase, in every combination of the axes."""
        spec = canonical(spec)
        lengths = [_tile_lengths(spec, axis) for axis in range(spec.rank)]
        return [cls(tile) for tile in product(*lengths)]

    def tilings(self, spec: ConvSpec) -> tuple[AxisTiling, ...]:
        """How each spatial axis of the canonical form is cut."""
        spec = canonical(spec)
        return tuple(AxisTiling.of(spec, axis, tile) for axis, tile in enumerate(self.tile))

    def multiply_adds(self, spec: ConvSpec) -> int:
        """Transforms, axis by axis, and products of all tiles."""
        spec = canonical(spec)
        tilings = self.tilings(spec)
        forms = [tiling.form for tiling in tilings]
        splits = prod(spec.strides)
        analysis = synthesis = 0
        for axis in range(spec.rank):
            # Axes up to this one have their new length after its product, those behind it their old one.
            analysis += prod(form.half for form in forms) * forms[axis].half
            rows = prod(form.mirrored for form in forms[: axis + 1])
            synthesis += rows * prod(form.half for form in forms[axis:])
        parts = 1 << spec.rank
        frequencies = prod(form.half for form in forms) * parts // 2
        pairs = splits * spec.in_channels * spec.out_channels // spec.groups
        per_tile = (
            parts * (analysis * splits * spec.in_channels + synthesis * spec.out_channels)
            + self._products(tilings) * frequencies * pairs
        )
        return spec.batch * prod(tiling.columns for tiling in tilings) * per_tile

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Every array that one operator writes and another reads, and the spectra of the taps.

        The spectra count twice as the right-hand side of a batched product: engines copy it into their own order at
        every call. In one dimension on ONNX Runtime's CPU this count alone predicts the time within 20 %.
        """
        spec = canonical(spec)
        tilings = self.tilings(spec)
        splits = prod(spec.strides)
        columns, numbers = prod(tiling.columns for tiling in tilings), prod(self.tile)
        tiles = columns * numbers * _PASSES[spec.rank] * (splits * spec.in_channels + spec.out_channels)
        ends = 4 * (prod(spec.spatial) * spec.in_channels + prod(spec.out_spatial) * spec.out_channels)
        tables = 2 if self._products(tilings) == 4 else 3
        spectra = tables * numbers // 2 * splits * spec.in_channels * spec.out_channels // spec.groups
        moved = 2 * spec.batch * (tiles + ends) + self.table_passes * spectra
        return int(moved * np.dtype(spec.dtype).itemsize)

    def products(self, spec: ConvSpec) -> int:
        """Three or four real ones for each frequency."""
        return self._products(self.tilings(spec)) * prod(self.tile) // 2

    def _products(self, tilings: Sequence[AxisTiling]) -> int:
        """Real products for one of two complex numbers."""
        return 4 if self.product_form == "grouped" and few_tiles(tilings) else 3

    def operators(self, spec: ConvSpec) -> int:
        """All but the reshapes, which move nothing."""
        spec = canonical(spec)
        parts, patterns = 1 << spec.rank, 1 << (spec.rank - 1)
        ends = 2 + 3 + 1  # transposes; pad, concatenation, gather of the outputs; bias
        # Per part: a gather, one addition per axis there and back, two transforms, sums of the sign patterns.
        return ends + parts * (3 + 2 * spec.rank + patterns - 1) + patterns * (6 + 2 * (patterns - 1))

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write the nodes; see `Lowering.write` and the module's docstring."""
        tilings = self.tilings(spec)
        return FFTWriter(writer, spec, tilings, product_form=self.product_form).write(
            x, canonical_weight(spec, weight), bias
        )


def _tile_lengths(spec: ConvSpec, axis: int) -> list[int]:
    taps = ceil(spec.kernel[axis] / spec.strides[axis])
    whole = AxisTiling.whole(spec, axis)
    known = _TILES[spec.rank]
    tiles = {tile for tile in (*known, 8 * ceil(taps / 4)) if taps < tile < whole}
    if not tiles or whole <= known[-1]:
        tiles.add(whole)
    return sorted(tiles)
