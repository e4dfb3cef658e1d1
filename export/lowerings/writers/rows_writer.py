"""The moves at both ends of a tiled convolution: positions first, channels last, so that every move copies rows.

    x [B, C, *spatial] -> [N, B, C] -> pad -> (stride: rows of the splits) ... gather the outputs in order
      -> [B, C, *out_spatial]

Axes that the canonical form folds into the channels go there with the first transpose; one of length 1 stays where it
is, since a reshape is enough, and the transpose is one that neighbors can share.
Groups are an axis in front of all others. The transposes at both ends cancel between neighboring layers.

The products with the taps come in two forms. As one batched MatMul they read [R, M B, Cin], positions of the tiles
first. As one grouped Conv with kernels of 1 (`grouped`) they read a pixel for each tile, [M B, R Cin]: there the rows
are [B, N, C], and tiles come before their positions. Engines copy the right-hand side of a batched product into an
order of their own at every call, but the weights of a Conv once, when they load the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.lowerings.base import ProductForm, Weights
from dashdeploy.export.lowerings.canonical_form import canonical, folded_axes
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.tiling import Rows, TiledAxis

_REPEATED = 32768
"""Numbers of a constant by channel that is repeated for many rows."""

_KRONECKER_UP_TO = 36
"""Rows up to which one product with the Kronecker product of the axes' matrices beats one product per axis."""

Tiling = TypeVar("Tiling", bound=TiledAxis)


class RowsWriter(Generic[Tiling]):
    """What the writers of tiled convolutions share.

    Args:
        writer: where the nodes go.
        spec: the convolution as the graph has it.
        tilings: how each axis of its canonical form is cut.
        product_form: as `TiledLowering.product_form`; a grouped Conv is for a convolution without groups.
    """

    def __init__(
        self,
        writer: GraphWriter,
        spec: ConvSpec,
        tilings: Sequence[Tiling],
        *,
        product_form: ProductForm | None = None,
    ) -> None:
        self._writer = writer
        self._product_form = product_form
        self._grouped, self._taps_first = product_form == "grouped", product_form == "taps first"
        self._outer = spec
        self._spec = spec = canonical(spec)
        self._tilings = tilings
        self._splits = prod(spec.strides)
        self._lead = () if spec.groups == 1 else (spec.groups,)
        self._axis = len(self._lead)
        self._lead_axes = (1,) if self._lead else ()
        self._ones = (1,) if self._lead else ()
        self._group_in = spec.in_channels // spec.groups
        self._group_out = spec.out_channels // spec.groups
        self._dtype = np.dtype(spec.dtype)

    def input_rows(self, x: ir.Value) -> ir.Value:
        """[B, C, *spatial] to the padded rows that tiles read, [rows, B, channels], behind the group axis.

        For a grouped Conv they are [B, rows, channels].
        """
        rows = self._split_strides(self._positions_first(x))
        return self._writer.op("Transpose", "samples", rows, perm=(1, 0, 2)) if self._grouped else rows

    def gather_tiles(self, rows: ir.Value, index: Rows, name: str) -> ir.Value:
        """What `transform` takes, of the rows `index`: [positions within a tile, tiles]."""
        if self._grouped:
            tiles = self._writer.op(
                "Gather", name, rows, self._writer.constant(f"{name}.rows", index.T.reshape(-1)), axis=1
            )
            return self._writer.reshape(
                f"{name}.tiles", tiles, (-1, len(index), self._splits * self._group_in)
            )
        tiles = self.gather(rows, index.reshape(-1), name)
        return self._writer.reshape(f"{name}.columns", tiles, (*self._lead, len(index), -1))

    def transform(
        self, value: ir.Value, matrices: Sequence[npt.NDArray[np.floating]], channels: int, name: str
    ) -> ir.Value:
        """Multiply every axis of the tiles by its matrix; the positions of the result are flat.

        Args:
            value: [positions, columns] behind the group axis; for a grouped Conv [M B, positions, channels].
            matrices: one per axis.
            channels: of the value.
            name: of the nodes.
        """
        writer = self._writer
        whole = matrices[0]
        for matrix in matrices[1:]:
            whole = np.kron(whole, matrix)
        if len(matrices) == 1 or max(whole.shape) <= _KRONECKER_UP_TO:
            table = writer.constant(f"{name}.matrix", whole.astype(self._dtype))
            return writer.op("MatMul", name, table, value)
        first, second = matrices
        (new_1, old_1), (new_2, old_2) = first.shape, second.shape
        lead = (-1,) if self._grouped else self._lead
        last = channels if self._grouped else -1
        table = writer.constant(f"{name}.matrix_0", first.astype(self._dtype))
        columns = writer.reshape(
            f"{name}.axis_0", value, (*lead, old_1, old_2 * last if self._grouped else -1)
        )
        rows = writer.op("MatMul", f"{name}_0", table, columns)
        table = writer.constant(f"{name}.matrix_1", second.astype(self._dtype))
        lead_1 = lead if self._grouped else (*lead, new_1)
        columns = writer.reshape(f"{name}.axis_1", rows, (*lead_1, old_2, last))
        both = writer.op("MatMul", f"{name}_1", table, columns)
        return writer.reshape(f"{name}.flat", both, (*lead, new_1 * new_2, last))

    def product(
        self, spectrum: ir.Value, table: ir.Value, count: int, name: str, bias: Weights | None = None
    ) -> ir.Value:
        """The products with a table of taps: [count, M B, Cout] behind the group axis.

        For a grouped Conv they are [M B, count, Cout], with the taps first [count, Cout, M B].

        Args:
            spectrum: what `transform` gave.
            table: [count, splits Cin, Cout] behind the group axis; for a grouped Conv [count Cout, splits Cin, 1, 1],
                with the taps first [count, Cout, splits Cin].
            count: of the products of a tile.
            name: of the nodes.
            bias: [count, Cout] to be added, for a grouped Conv.
        """
        writer, depth = self._writer, self._splits * self._group_in
        if not self._grouped:
            rows = writer.reshape(f"{name}.rows", spectrum, (*self._lead, count, -1, depth))
            if self._taps_first:
                return writer.op("MatMul", name, table, self._exchanged(rows, f"{name}.columns"))
            return writer.op("MatMul", name, rows, table)
        pixels = writer.reshape(f"{name}.pixels", spectrum, (1, 1, -1, count * depth))
        inputs = [writer.op("Transpose", f"{name}.channels", pixels, perm=(0, 3, 1, 2)), table]
        if bias is not None:
            inputs.append(writer.constant(f"{name}.bias", bias.reshape(-1).astype(self._dtype)))
        both = writer.op("Conv", name, *inputs, kernel_shape=(1, 1), group=count)
        back = writer.op("Transpose", f"{name}.back", both, perm=(0, 2, 3, 1))
        return writer.reshape(f"{name}.tiles", back, (-1, count, self._group_out))

    def add_bias(self, rows: ir.Value, bias: Weights | None) -> ir.Value:
        """Add the bias to `rows`, in a shape of `tile_rows`.

        Engines broadcast by whole rows of what is added: 32 numbers at a time took three times as long as 18 000.
        """
        if bias is None:
            return rows
        values = self._writer.constant(
            "bias.values", bias.reshape(*self._lead, *self._ones, 1, 1, self._group_out)
        )
        if self._together > 1:
            shape = (*self._lead, *self._ones, self._together, 1, self._group_out)
            values = self._writer.op(
                "Expand", "bias.rows", values, self._writer.integers("bias.shape", shape)
            )
        return self._writer.op("Add", "bias", rows, values)

    def tile_rows(self, name: str, columns: ir.Value, positions: int) -> ir.Value:
        """[positions, M B Cout] behind the group axis to [positions M / m, m, B, Cout].

        With the taps first it gets [positions, Cout M B].
        """
        if self._taps_first:
            apart = self._writer.reshape(
                f"{name}.apart", columns, (*self._lead, positions, self._group_out, -1)
            )
            columns = self._exchanged(apart, f"{name}.channels_last")
        count = positions * prod(tiling.columns for tiling in self._tilings) // self._together
        return self._writer.reshape(name, columns, (*self._lead, count, self._together, -1, self._group_out))

    def _exchanged(self, value: ir.Value, name: str) -> ir.Value:
        """The last two of three axes behind the group axis exchanged."""
        front = self._axis
        perm = (*range(front), front, front + 2, front + 1)
        return self._writer.op("Transpose", name, value, perm=perm)

    @property
    def _together(self) -> int:
        """m: tiles to which the bias is added at once."""
        return rows_together(prod(tiling.columns for tiling in self._tilings), self._group_out)

    def channels_first(self, tiles: ir.Value, positions: int, order: Rows) -> ir.Value:
        """The outputs in their order, as [B, C, *out_spatial].

        Args:
            tiles: all positions of all tiles, M B Cout numbers for each position, behind the group axis; for a
                grouped Conv [M B, positions, Cout].
            positions: rows per tile.
            order: where each output stands among the rows (position, tile).
        """
        spec, writer, rank = self._outer, self._writer, self._outer.rank
        columns = prod(tiling.columns for tiling in self._tilings)
        if self._grouped:
            position, tile = np.divmod(order, columns)
            order = tile * positions + position
            rows = writer.reshape("tiles.rows", tiles, (-1, positions * columns, self._group_out))
            y = writer.op("Gather", "outputs", rows, writer.constant("outputs.rows", order), axis=1)
            y = writer.op("Transpose", "outputs.positions", y, perm=(1, 0, 2))
        else:
            rows = writer.reshape(
                "tiles.rows", tiles, (*self._lead, positions * columns, -1, self._group_out)
            )
            y = self.gather(rows, order, "outputs")
        if rank > 1:
            y = writer.reshape("outputs.shape", y, (*self._lead, *spec.out_spatial, -1, self._group_out))
        if not self._lead:
            return writer.op("Transpose", "to_channels", y, perm=(rank, rank + 1, *range(rank)))
        joined = writer.op("Transpose", "to_channels", y, perm=(rank + 1, 0, rank + 2, *range(1, rank + 1)))
        return writer.reshape("join_groups", joined, (-1, spec.out_channels, *spec.out_spatial))

    def _positions_first(self, x: ir.Value) -> ir.Value:
        """[B, C, *spatial] to padded rows [N, B, C] behind the group axis, N counting all positions."""
        spec, rank = self._outer, self._spec.rank
        moved = [axis for axis in folded_axes(spec) if spec.spatial[axis] > 1]
        stay = [axis for axis in range(spec.rank) if axis not in moved]
        first = 3 if self._lead else 2  # the first spatial axis
        if self._lead:
            channels = spec.in_channels // spec.groups
            x = self._writer.reshape("split_groups", x, (0, spec.groups, channels, *spec.spatial))
        perm = (
            *self._lead_axes,
            *(first + axis for axis in stay),
            0,
            first - 1,
            *(first + axis for axis in moved),
        )
        rows = self._writer.op("Transpose", "to_rows", x, perm=perm)
        if rank < spec.rank:
            shape = (*self._lead, *self._spec.spatial, -1, self._group_in)
            rows = self._writer.reshape("folded", rows, shape)
        before = [tiling.before for tiling in self._tilings]
        after = [tiling.after for tiling in self._tilings]
        if any(before) or any(after):
            none = [0] * self._axis
            pads = [*none, *before, 0, 0, *none, *after, 0, 0]
            rows = self._writer.op("Pad", "pad", rows, self._writer.integers("pad.pads", pads))
        if rank == 1:
            return rows
        positions = prod(tiling.padded for tiling in self._tilings)
        return self._writer.reshape("positions", rows, (*self._lead, positions, -1, self._group_in))

    def _split_strides(self, rows: ir.Value) -> ir.Value:
        """With strides, the rows of the splits beside the channels: [N, B, splits * C]; else the rows as they are."""
        if self._splits == 1:
            return rows
        sources = [tiling.sources() for tiling in self._tilings]
        flat = sources[0]
        for tiling, source in zip(self._tilings[1:], sources[1:], strict=True):
            flat = (flat[:, None, :, None] * tiling.padded + source[None, :, None, :]).reshape(
                flat.shape[0] * source.shape[0], -1
            )
        count = flat.shape[0]
        gathered = self.gather(rows, flat.reshape(-1), "splits")
        shaped = self._writer.reshape(
            "splits.apart", gathered, (*self._lead, count, self._splits, -1, self._group_in)
        )
        axis = self._axis
        perm = (*range(axis), axis, axis + 2, axis + 1, axis + 3)
        beside = self._writer.op("Transpose", "splits.beside", shaped, perm=perm)
        return self._writer.reshape(
            "splits.joined", beside, (*self._lead, count, -1, self._splits * self._group_in)
        )

    def gather(self, rows: ir.Value, index: Rows, name: str) -> ir.Value:
        """The rows `index`, in that order, behind the group axis."""
        return self._writer.op(
            "Gather", name, rows, self._writer.constant(f"{name}.rows", index), axis=self._axis
        )


def rows_together(rows: int, channels: int) -> int:
    """The most rows that divide `rows` and hold no more than a second-level cache takes, to repeat a constant for.

    Args:
        rows: how many rows there are.
        channels: numbers in a row.
    """
    most = min(rows, _REPEATED // channels)
    return next((count for count in range(most, 1, -1) if rows % count == 0), 1)


def outer_rows(outer: Rows, inner: Rows, width: int) -> Rows:
    """Flat rows of two axes: [H1, M1] and [H2, M2] to [H1 H2, M1 M2]."""
    both = outer[:, None, :, None] * width + inner[None, :, None, :]
    return both.reshape(outer.shape[0] * inner.shape[0], -1)


def products_of_ones(synthesis: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.floating]:
    """The least products of a tile, flat, that give outputs of 1: what a bias is in front of the synthesis.

    Args:
        synthesis: [S, R] of each axis.
    """
    total = np.ones(1)
    for matrix in synthesis:
        along = np.linalg.lstsq(matrix, np.ones(len(matrix)), rcond=None)[0]
        total = np.outer(total, along).reshape(-1)
    return total
