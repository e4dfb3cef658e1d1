"""The Toom-Cook convolution (Winograd's) in one or two dimensions, in ordinary operators.

`ToomCookForm` has the algorithm of a tile along one axis; two axes nest: the Kronecker products of their matrices are
a bilinear algorithm of R1 R2 products. Tiles, phases and strides are those of the FFT form. With M the tiles:

    x [B, C, *spatial] -> [N, B, C] -> pad -> gather [T.., M B C] -> MatMul with the analysis matrix [R.., M B C]
      -> batched MatMul with the transformed taps, [R.., M B, Cin] x [R.., Cin, Cout]
      -> MatMul with the synthesis matrix [S.., M B C] -> gather the outputs in order -> [B, C, *out_spatial]

Short kernels and tiles are where this is cheaper than the FFT form: it needs fewer products and half the operators,
but its matrices are dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.canonical_form import canonical, canonical_weight
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.tiling import Rows, TiledAxis, TiledLowering
from dashdeploy.export.lowerings.writers.rows_writer import RowsWriter, outer_rows, products_of_ones
from dashdeploy.export.lowerings.writers.tap_transform import TapTransform
from dashdeploy.ops.conv.toom_cook_form import ToomCookForm

_TILES = {1: (4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32), 2: (4, 6, 8, 10, 12, 16)}
"""Tile lengths by rank; dense matrices of longer tiles cost more than the FFT's."""


@dataclass(frozen=True)
class ToomCookAxis(TiledAxis):
    """One spatial axis.

    Attributes:
        last_of_two: whether this is the second one of two.
    """

    last_of_two: bool = False

    @cached_property
    def form(self) -> ToomCookForm:
        """The bilinear form of a tile; errors of two axes multiply, so the last one of two is an accurate one."""
        return ToomCookForm(self.tile, self.each_taps, accurate=self.last_of_two and self.tile == 8)

    @property
    def outputs_per_tile(self) -> int:
        """S: outputs that one tile gives."""
        return self.form.outputs


@dataclass(frozen=True)
class ToomCook(TiledLowering):
    """Toom-Cook convolution; the arguments are those of `TiledLowering`."""

    name: ClassVar[str] = "toom-cook"
    revision: ClassVar[int] = 4

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """What the FFT form refuses, and kernels that are too long for its tiles or have one tap."""
        refusal = FFT.refuses(spec)
        if refusal is not None:
            return refusal.replace("FFT", "Toom-Cook")
        spec = canonical(spec)
        if not any(_tile_lengths(spec, axis) for axis in range(spec.rank)):
            return (
                "no tile is longer than the kernel" if max(spec.kernel) > 1 else "one tap has nothing to save"
            )
        if not all(_tile_lengths(spec, axis) for axis in range(spec.rank)):
            return "the kernel is too long or has one tap along an axis"
        return None

    @classmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:
        """Tile lengths above the taps, in every combination of the axes."""
        spec = canonical(spec)
        return [cls(tile) for tile in product(*(_tile_lengths(spec, axis) for axis in range(spec.rank)))]

    def tilings(self, spec: ConvSpec) -> tuple[ToomCookAxis, ...]:
        """How each spatial axis of the canonical form is cut."""
        spec = canonical(spec)
        axes = [ToomCookAxis.of(spec, axis, tile) for axis, tile in enumerate(self.tile)]
        return (*axes[:-1], replace(axes[-1], last_of_two=spec.rank == 2))

    def multiply_adds(self, spec: ConvSpec) -> int:
        """Transforms, axis by axis, and products of all tiles."""
        spec = canonical(spec)
        tilings = self.tilings(spec)
        forms = [tiling.form for tiling in tilings]
        splits, analysis, synthesis = prod(spec.strides), 0, 0
        for axis in range(spec.rank):
            done = prod(form.products for form in forms[: axis + 1])
            analysis += done * prod(form.tile for form in forms[axis:])
            done = prod(form.outputs for form in forms[: axis + 1])
            synthesis += done * prod(form.products for form in forms[axis:])
        pairs = splits * spec.in_channels * spec.out_channels // spec.groups
        per_tile = (
            analysis * splits * spec.in_channels
            + synthesis * spec.out_channels
            + prod(form.products for form in forms) * pairs
        )
        return spec.batch * prod(tiling.columns for tiling in tilings) * per_tile

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Every array that one operator writes and another reads, and the transformed taps, twice as for the FFT."""
        spec = canonical(spec)
        tilings = self.tilings(spec)
        splits, columns = prod(spec.strides), prod(tiling.columns for tiling in tilings)
        products = prod(tiling.form.products for tiling in tilings)
        outputs = prod(tiling.form.outputs for tiling in tilings)
        tiles = columns * (
            (prod(self.tile) + products) * splits * spec.in_channels
            + (products + outputs) * spec.out_channels
        )
        ends = 3 * (prod(spec.spatial) * spec.in_channels + prod(spec.out_spatial) * spec.out_channels)
        taps = products * splits * spec.in_channels * spec.out_channels // spec.groups
        moved = 2 * spec.batch * (tiles + ends) + self.table_passes * taps
        return int(moved * np.dtype(spec.dtype).itemsize)

    def products(self, spec: ConvSpec) -> int:
        """One for each point."""
        return prod(tiling.form.products for tiling in self.tilings(spec))

    def operators(self, spec: ConvSpec) -> int:
        """All but the reshapes, which move nothing."""
        return (
            2 + 3 + 1 + 2 * canonical(spec).rank + 1
        )  # transposes; pad, two gathers; bias; transforms; product

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write the nodes; see `Lowering.write` and the module's docstring."""
        tilings = self.tilings(spec)
        return _Writer(writer, spec, tilings, product_form=self.product_form).write(
            x, canonical_weight(spec, weight), bias
        )


def _tile_lengths(spec: ConvSpec, axis: int) -> list[int]:
    taps = ToomCookAxis.of(spec, axis, tile=2).each_taps
    phase = ToomCookAxis.of(spec, axis, tile=2).phase
    if taps < 2:
        return []
    known = [tile for tile in _TILES[spec.rank] if tile > taps]
    # A tile that holds a whole phase is enough.
    enough = [tile for tile in known if tile - taps + 1 < phase]
    return known[: len(enough) + 1]


class _Writer(RowsWriter[ToomCookAxis]):
    def write(self, x: ir.Value, weight: Weights, bias: Weights | None) -> ir.Value:
        forms = [tiling.form for tiling in self._tilings]
        outputs = prod(form.outputs for form in forms)
        products = prod(form.products for form in forms)
        depth = self._splits * self._group_in
        tiles = self.gather_tiles(self.input_rows(x), self._input_order(), "tiles")
        values = self.transform(tiles, [form.analysis for form in forms], depth, "analysis")
        first = [form.tap_matrix for form in forms[:-1]] or None
        transform = TapTransform(self._writer, self._spec, weight, product_form=self._product_form)
        table = transform.tables({"all": [forms[-1].tap_matrix]}, first)["all"]
        synthesis = [form.synthesis for form in forms]
        if self._grouped:
            within = None if bias is None else np.outer(products_of_ones(synthesis), bias)
            y = self.product(values, table, products, "product", within)
            y = self.transform(y, synthesis, self._group_out, "synthesis")
            return self.channels_first(y, outputs, self._output_order())
        product_ = self.product(values, table, products, "product")
        columns = self._writer.reshape("product.columns", product_, (*self._lead, products, -1))
        y = self.transform(columns, synthesis, self._group_out, "synthesis")
        y = self.tile_rows("synthesis.rows", y, outputs)
        return self.channels_first(self.add_bias(y, bias), outputs, self._output_order())

    def _input_order(self) -> Rows:
        """Which rows the tiles read: [positions within a tile, tiles]."""
        index = self._tilings[0].steps()
        for tiling in self._tilings[1:]:
            index = outer_rows(index, tiling.steps(), tiling.padded if self._splits == 1 else tiling.rows)
        return index

    def _output_order(self) -> Rows:
        """Where each output stands among the rows (position in the tile per axis, tile per axis)."""
        rank = len(self._tilings)
        position = column = np.zeros([1] * rank, dtype=np.int64)
        columns = 1
        for axis, tiling in enumerate(self._tilings):
            place, tile = tiling.output_places()
            along = [-1 if other == axis else 1 for other in range(rank)]
            position = tiling.form.outputs * position + place.reshape(along)
            column = tiling.columns * column + tile.reshape(along)
            columns *= tiling.columns
        return np.asarray(position * columns + column, dtype=np.int64).reshape(-1)
