"""The FFT convolution along one axis with every transform in two steps, in few operators.

`CooleyTukeyForm` has the algorithm of a tile; tiles, phases and strides are those of the FFT form. With M the tiles:

    x [B, C, n] -> [N, B, C] -> pad -> gather [T2, T1 M B C] -> MatMul with the outer analysis [T2, T1 M B C]
      -> batched MatMul with the inner analysis [T2 / 2, 3 T1, M B C]
      -> one batched MatMul with all transformed taps, [3T/2, M B, Cin] x [3T/2, Cin, Cout]
      -> batched MatMul with the inner synthesis [T2 / 2, 2 T1, M B C] -> MatMul with the outer one [S2, T1 M B C]
      -> bias -> gather the outputs in order -> [B, C, out]

No additions stand between the products, and nothing is mirrored, since the positions of a tile come out in their
order. Where an engine multiplies small matrices well and is slow on single numbers, that is faster than the FFT form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import ClassVar, Self

import numpy as np
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, ProductForm, Weights
from dashdeploy.export.lowerings.canonical_form import canonical, canonical_weight
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.tiling import AxisTiling, TiledLowering
from dashdeploy.export.lowerings.writers.rows_writer import RowsWriter
from dashdeploy.export.lowerings.writers.tap_transform import TapTransform
from dashdeploy.ops.conv.cooley_tukey_form import CooleyTukeyForm, Matrix

_LONGEST, _OVERLAP = 256, 4
"""Of a tile: how long, unless it holds a whole phase, and how many times as many taps as outputs."""

_INNER = (2, 3, 4, 5, 6, 8)
"""T1; longer ones take more multiply-adds than they save for tiles of up to the longest length."""


@dataclass(frozen=True)
class CooleyTukey(TiledLowering):
    """FFT convolution along one axis in two steps.

    Args:
        tile: T, an even multiple of T1.
        inner: T1.
    """

    name: ClassVar[str] = "cooley-tukey"
    inner: int = 4

    @property
    def _parameters(self) -> list[str]:
        tile, *forms = super()._parameters
        return [tile, f"inner={self.inner}", *forms]

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """What the FFT form refuses, and more than one axis."""
        refusal = FFT.refuses(spec)
        if refusal is not None:
            return refusal
        rank = canonical(spec).rank
        return None if rank == 1 else f"{rank} spatial axes: FFTs in two steps are for one"

    @classmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:
        """For every number of tiles of a phase the shortest tile with each inner length."""
        least = canonical(spec)
        tiling = AxisTiling.of(least, 0, 2)
        outputs = {ceil(tiling.phase / tiles) for tiles in range(1, tiling.phase + 1)}
        lengths = {each + tiling.each_taps - 1 for each in outputs if each * _OVERLAP >= tiling.each_taps}
        lengths.add(AxisTiling.whole(least, 0))
        lengths = {length for length in lengths if length <= _LONGEST} or {min(lengths)}
        steps = [2 * inner for inner in _INNER]
        tiles = {(step * ceil(length / step), step // 2) for length in lengths for step in steps}
        return [cls((tile,), inner=inner) for tile, inner in sorted(tiles)]

    def with_products(self, form: ProductForm, spec: ConvSpec) -> Self | None:
        """The same with the taps first; a grouped Conv is not offered."""
        return None if form == "grouped" else super().with_products(form, spec)

    def tilings(self, spec: ConvSpec) -> tuple[AxisTiling, ...]:
        """How the spatial axis of the canonical form is cut."""
        return (AxisTiling.of(canonical(spec), 0, self.tile[0]),)

    def form(self, spec: ConvSpec) -> CooleyTukeyForm:
        """The algorithm of a tile."""
        (tiling,) = self.tilings(spec)
        return CooleyTukeyForm(tiling.tile, self.inner, tiling.each_taps, tiling.outputs_per_tile)

    def products(self, spec: ConvSpec) -> int:
        """Three real ones for each frequency."""
        return self.form(spec).products

    def multiply_adds(self, spec: ConvSpec) -> int:
        """Both steps of the transforms, and the products of all tiles."""
        form, (tiling,), spec = self.form(spec), self.tilings(spec), canonical(spec)
        depth, inner = prod(spec.strides) * spec.in_channels, 3 * form.inner * form.tile
        analysis = (form.outer * form.tile + inner) * depth
        synthesis = (form.rows * form.outer + inner) * spec.out_channels
        products = form.products * depth * spec.out_channels // spec.groups
        return spec.batch * tiling.columns * (analysis + products + synthesis)

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Every array that one operator writes and another reads, and the spectra of the taps as for the FFT."""
        form, (tiling,), spec = self.form(spec), self.tilings(spec), canonical(spec)
        depth = prod(spec.strides) * spec.in_channels
        tiles = (2 * form.tile + form.products) * depth
        tiles += (form.products + form.tile + 2 * form.rows) * spec.out_channels
        ends = 3 * (prod(spec.spatial) * spec.in_channels + prod(spec.out_spatial) * spec.out_channels)
        spectra = form.products * depth * spec.out_channels // spec.groups
        moved = 2 * spec.batch * (tiling.columns * tiles + ends) + self.table_passes * spectra
        return int(moved * np.dtype(spec.dtype).itemsize)

    def operators(self, spec: ConvSpec) -> int:  # noqa: ARG002
        """All but the reshapes, which move nothing."""
        taps_first = self.product_form == "taps first"
        return 2 + 3 + 1 + 5 + 2 * taps_first  # transposes; pad, two gathers; bias; products; taps first

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write the nodes; see `Lowering.write` and the module's docstring."""
        own = _Writer(writer, spec, self.tilings(spec), product_form=self.product_form)
        return own.write(self.form(spec), x, canonical_weight(spec, weight), bias)


class _Writer(RowsWriter[AxisTiling]):
    def write(self, form: CooleyTukeyForm, x: ir.Value, weight: Weights, bias: Weights | None) -> ir.Value:
        half, inner = form.outer // 2, form.inner
        (tiling,) = self._tilings
        y = self.gather(self.input_rows(x), tiling.steps().reshape(-1), "tiles")
        y = self._step(y, (form.outer, -1), form.outer_analysis, "analysis_0")
        y = self._step(y, (half, 2 * inner, -1), form.inner_analysis, "analysis_1")
        transform = TapTransform(self._writer, self._spec, weight, product_form=self._product_form)
        table = transform.tables({"all": [form.tap_matrix]})["all"]
        y = self.product(y, table, form.products, "product")
        y = self._step(y, (half, 3 * inner, -1), form.inner_synthesis, "synthesis_0")
        y = self._step(y, (form.outer, -1), form.outer_synthesis, "synthesis_1")
        y = self.tile_rows("synthesis.rows", y, form.rows)
        position, column = tiling.output_places()
        return self.channels_first(self.add_bias(y, bias), form.rows, position * tiling.columns + column)

    def _step(self, value: ir.Value, shape: Sequence[int], matrix: Matrix, name: str) -> ir.Value:
        writer = self._writer
        columns = writer.reshape(f"{name}.columns", value, (*self._lead, *shape))
        table = writer.constant(f"{name}.matrix", matrix.astype(self._dtype))
        return writer.op("MatMul", name, table, columns)
