"""Writes the operators of one FFT convolution; `fft` has the mathematics and the layout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.rows_writer import RowsWriter, outer_rows
from dashdeploy.export.lowerings.tap_transform import TapTransform
from dashdeploy.export.lowerings.tiling import AxisTiling, Rows

Bits = tuple[int, ...]
"""One bit per axis: a half of the tile (1: the mirrored left one), a parity (1: odd) or a sign (1: minus)."""

_KRONECKER_UP_TO = 36
"""Rows up to which one product with the Kronecker product of the axes' matrices beats one product per axis."""


class FFTWriter(RowsWriter[AxisTiling]):
    """Writes one convolution.

    Args:
        writer: where the nodes go.
        spec: the convolution as the graph has it.
        tilings: how each axis of its canonical form is cut.
    """

    def __init__(self, writer: GraphWriter, spec: ConvSpec, tilings: Sequence[AxisTiling]) -> None:
        super().__init__(writer, spec, tilings)
        self._forms = [tiling.form for tiling in tilings]
        self._half = prod(form.half for form in self._forms)
        self._bits: list[Bits] = list(product((0, 1), repeat=self._spec.rank))
        self._signs = [bits for bits in self._bits if bits[-1] == 0]

    def write(self, x: ir.Value, weight: Weights, bias: Weights | None) -> ir.Value:
        """Write everything; see `Lowering.write`."""
        rows = self.input_rows(x)
        corners = {bits: self._gather_corner(rows, bits) for bits in self._bits}
        parts = self._butterfly(corners, "part")
        spectra = {
            bits: self._transform(
                part,
                [(f.sines if odd else f.cosines) for f, odd in zip(self._forms, bits, strict=True)],
                _folded_sign(bits),
                f"analysis_{_name(bits)}",
            )
            for bits, part in parts.items()
        }
        real, imaginary = self._multiply(spectra, weight)
        outputs = self._synthesize(real, imaginary, bias)
        return self._corners_in_order(self._butterfly(outputs, "corner"))

    def _gather_corner(self, rows: ir.Value, bits: Bits) -> ir.Value:
        """One corner of all tiles, mirrored towards the center: the matrix [H.., M B C]."""
        index: Rows | None = None
        for tiling, lower in zip(self._tilings, bits, strict=True):
            axis_rows = tiling.lower if lower else tiling.upper
            width = tiling.padded if self._splits == 1 else tiling.rows
            index = axis_rows if index is None else outer_rows(index, axis_rows, width)
        assert index is not None
        gathered = self.gather(rows, index.reshape(-1), f"gather_{_name(bits)}")
        return self._writer.reshape(f"gather_{_name(bits)}.columns", gathered, (*self._lead, self._half, -1))

    def _butterfly(self, corners: dict[Bits, ir.Value], name: str) -> dict[Bits, ir.Value]:
        """Along every axis, replace the pair (bit 0, bit 1) by its sum and its difference."""
        values = corners
        for axis in reversed(range(self._spec.rank)):
            following: dict[Bits, ir.Value] = {}
            for bits in self._bits:
                if bits[axis]:
                    continue
                other = (*bits[:axis], 1, *bits[axis + 1 :])
                pair = values[bits], values[other]
                following[bits] = self._writer.op("Add", f"{name}_{_name(bits)}", *pair)
                following[other] = self._writer.op("Sub", f"{name}_{_name(other)}", *pair)
            values = following
        return values

    def _transform(
        self, value: ir.Value, matrices: Sequence[npt.NDArray[np.floating]], sign: float, name: str
    ) -> ir.Value:
        """Multiply every axis of [H.., columns] by its matrix; the result's rows are flat again."""
        writer, lead = self._writer, self._lead
        whole = matrices[0]
        for matrix in matrices[1:]:
            whole = np.kron(whole, matrix)
        if len(matrices) == 1 or max(whole.shape) <= _KRONECKER_UP_TO:
            table = writer.constant(f"{name}.matrix", (sign * whole).astype(self._dtype))
            return writer.op("MatMul", name, table, value)
        first, second = matrices
        table = writer.constant(f"{name}.matrix_0", (sign * first).astype(self._dtype))
        columns = writer.reshape(f"{name}.axis_0", value, (*lead, first.shape[1], -1))
        rows = writer.op("MatMul", f"{name}_0", table, columns)
        table = writer.constant(f"{name}.matrix_1", second.astype(self._dtype))
        columns = writer.reshape(f"{name}.axis_1", rows, (*lead, first.shape[0], second.shape[1], -1))
        both = writer.op("MatMul", f"{name}_1", table, columns)
        return writer.reshape(f"{name}.flat", both, (*lead, first.shape[0] * second.shape[0], -1))

    def _multiply(
        self, spectra: dict[Bits, ir.Value], weight: Weights
    ) -> tuple[dict[Bits, ir.Value], dict[Bits, ir.Value]]:
        """The three products per sign pattern: (Yr, Yi) by signs, each [H.., M B, Cout]."""
        real, imaginary = {}, {}
        taps = self._tap_spectra(weight)
        for signs in self._signs:
            name = _name(signs)
            xr = self._signed_sum(spectra, signs, 0, f"real_{name}")
            xi = self._signed_sum(spectra, signs, 1, f"imaginary_{name}")
            both = self._writer.op("Add", f"sum_{name}", xr, xi)
            p1 = self._product(both, taps[f"1_{name}"], f"product_1_{name}")
            p2 = self._product(xr, taps[f"2_{name}"], f"product_2_{name}")
            p3 = self._product(xi, taps[f"3_{name}"], f"product_3_{name}")
            real[signs] = self._writer.op("Sub", f"y_real_{name}", p1, p3)
            imaginary[signs] = self._writer.op("Add", f"y_imaginary_{name}", p1, p2)
        return real, imaginary

    def _signed_sum(self, parts: dict[Bits, ir.Value], signs: Bits, parity: int, name: str) -> ir.Value:
        """The sum of signs^m T[m] over the m of one parity of |m|; a positive term comes first."""
        chosen = [bits for bits in parts if sum(bits) % 2 == parity]
        total = None
        for bits in sorted(chosen, key=lambda bits: _sign(signs, bits), reverse=True):
            if total is None:
                total = parts[bits]
            else:
                total = self._writer.op("Sub" if _sign(signs, bits) < 0 else "Add", name, total, parts[bits])
        assert total is not None
        return total

    def _tap_spectra(self, weight: Weights) -> dict[str, ir.Value]:
        """Per sign pattern the tables Wr, Wi - Wr and Wr + Wi of the taps, [G, H.., splits Cin, Cout].

        W is the conjugate spectrum: the sum over m of i^|m| signs^m times the taps, transformed by sines along the
        axes in m and by cosines along the others. Along the last axis, whose sign is positive, that is a cosine and
        i times a sine; the first of two axes multiplies it by a cosine and by +-i times a sine.
        """
        last = self._forms[-1]
        real, imaginary = last.tap_cosines, last.tap_sines
        tables: dict[str, list[npt.NDArray[np.floating]]] = {}
        for signs in self._signs:
            wr, wi = [real], [imaginary]
            if self._spec.rank == 2:
                sign = -1 if signs[0] else 1
                wr, wi = [real, -sign * imaginary], [imaginary, sign * real]
            name = _name(signs)
            tables[f"1_{name}"] = wr
            tables[f"2_{name}"] = [im - re for re, im in zip(wr, wi, strict=True)]
            tables[f"3_{name}"] = [re + im for re, im in zip(wr, wi, strict=True)]
        first = [self._forms[0].tap_cosines, self._forms[0].tap_sines] if self._spec.rank == 2 else None
        return TapTransform(self._writer, self._spec, weight).tables(tables, first)

    def _product(self, spectrum: ir.Value, table: ir.Value, name: str) -> ir.Value:
        """[H.., M B, Cin] x [H.., Cin, Cout], per group."""
        rows = self._writer.reshape(
            f"{name}.rows", spectrum, (*self._lead, self._half, -1, self._splits * self._group_in)
        )
        return self._writer.op("MatMul", name, rows, table)

    def _synthesize(
        self, real: dict[Bits, ir.Value], imaginary: dict[Bits, ir.Value], bias: Weights | None
    ) -> dict[Bits, ir.Value]:
        """The outputs' parity parts, in shapes of `tile_rows`; the bias joins the part that is even everywhere."""
        scale = 0.5 ** (self._spec.rank - 1)  # both signs of every axis but the last are summed
        parts = {}
        mirrored = prod(form.mirrored for form in self._forms)
        for bits in self._bits:
            name = _name(bits)
            spectra = imaginary if sum(bits) % 2 else real
            total = None
            for signs in self._signs:
                if total is None:
                    total = spectra[signs]
                else:
                    operator = "Sub" if _sign(signs, bits) < 0 else "Add"
                    total = self._writer.op(operator, f"y_{name}", total, spectra[signs])
            assert total is not None
            columns = self._writer.reshape(f"y_{name}.columns", total, (*self._lead, self._half, -1))
            matrices = [
                form.synthesis_sines if odd else form.synthesis_cosines
                for form, odd in zip(self._forms, bits, strict=True)
            ]
            part = self._transform(columns, matrices, scale * _folded_sign(bits), f"synthesis_{name}")
            parts[bits] = self.tile_rows(f"synthesis_{name}.rows", part, mirrored)
        even = self._bits[0]
        parts[even] = self.add_bias(parts[even], bias)
        return parts

    def _corners_in_order(self, corners: dict[Bits, ir.Value]) -> ir.Value:
        """The outputs of all corners and tiles in their order, as [B, C, *out_spatial]."""
        together = self._writer.op(
            "Concat", "corners", *(corners[bits] for bits in self._bits), axis=self._axis
        )
        mirrored = prod(tiling.form.mirrored for tiling in self._tilings)
        return self.channels_first(together, len(self._bits) * mirrored, self._output_rows())

    def _output_rows(self) -> Rows:
        """Where each output stands among the rows (corner, mirrored position per axis, tile per axis)."""
        shape = [tiling.length for tiling in self._tilings]
        corner = position = column = np.zeros(shape, dtype=np.int64)
        for axis, tiling in enumerate(self._tilings):
            row, tile = tiling.outputs()
            left, mirrored = np.divmod(row, tiling.form.mirrored)
            along = [1] * len(shape)
            along[axis] = -1
            corner = 2 * corner + left.reshape(along)
            position = tiling.form.mirrored * position + mirrored.reshape(along)
            column = tiling.columns * column + tile.reshape(along)
        positions = prod(form.mirrored for form in self._forms)
        columns = prod(tiling.columns for tiling in self._tilings)
        return ((corner * positions + position) * columns + column).reshape(-1)


def _sign(signs: Bits, bits: Bits) -> int:
    """signs^m: the product of the signs of the axes in m."""
    return -1 if sum(minus and odd for minus, odd in zip(signs, bits, strict=True)) % 2 else 1


def _folded_sign(bits: Bits) -> float:
    """(-1)^ceil(|m| / 2): the real sign that (-i)^|m|, or i^|m| backwards, leaves."""
    return float((-1) ** ceil(sum(bits) / 2))


def _name(bits: Bits) -> str:
    return "".join(map(str, bits))
