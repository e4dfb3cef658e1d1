"""Writes the operators of one FFT convolution; `fft` has the mathematics and the layout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.lowerings.base import ProductForm, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.tiling import AxisTiling, Rows
from dashdeploy.export.lowerings.writers.rows_writer import RowsWriter, outer_rows, products_of_ones
from dashdeploy.export.lowerings.writers.tap_transform import TapTransform

Bits = tuple[int, ...]
"""One bit per axis: a half of the tile (1: the mirrored left one), a parity (1: odd) or a sign (1: minus)."""

_FEW_TILES = 4
"""Tiles up to which two tables and four products take less time in a grouped Conv than three of both: it reads the
tables once for the real and the imaginary parts of all tiles, and for few tiles that is most of its time."""


def few_tiles(tilings: Sequence[AxisTiling]) -> bool:
    """Whether a grouped Conv has two tables instead of three."""
    return prod(tiling.columns for tiling in tilings) <= _FEW_TILES


class FFTWriter(RowsWriter[AxisTiling]):
    """Writes one convolution.

    Args:
        writer: where the nodes go.
        spec: the convolution as the graph has it.
        tilings: how each axis of its canonical form is cut.
        product_form: as `TiledLowering.product_form`.
    """

    def __init__(
        self,
        writer: GraphWriter,
        spec: ConvSpec,
        tilings: Sequence[AxisTiling],
        *,
        product_form: ProductForm | None = None,
    ) -> None:
        super().__init__(writer, spec, tilings, product_form=product_form)
        self._forms = [tiling.form for tiling in tilings]
        self._half = prod(form.half for form in self._forms)
        self._bits: list[Bits] = list(product((0, 1), repeat=self._spec.rank))
        self._signs = [bits for bits in self._bits if bits[-1] == 0]
        self._scale = 0.5 ** (self._spec.rank - 1)  # both signs of every axis but the last are summed

    def write(self, x: ir.Value, weight: Weights, bias: Weights | None) -> ir.Value:
        """Write everything; see `Lowering.write`."""
        rows = self.input_rows(x)
        corners = {bits: self._gather_corner(rows, bits) for bits in self._bits}
        parts = self._butterfly(corners, "part")
        spectra = {
            bits: self._signed_transform(
                part,
                [(f.sines if odd else f.cosines) for f, odd in zip(self._forms, bits, strict=True)],
                _folded_sign(bits),
                self._splits * self._group_in,
                f"analysis_{_name(bits)}",
            )
            for bits, part in parts.items()
        }
        if self._grouped and few_tiles(self._tilings):
            real, imaginary = self._multiply_by_two(spectra, weight, bias)
        else:
            real, imaginary = self._multiply(spectra, weight, bias)
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
        return self.gather_tiles(rows, index, f"gather_{_name(bits)}")

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

    def _signed_transform(
        self,
        value: ir.Value,
        matrices: Sequence[npt.NDArray[np.floating]],
        sign: float,
        channels: int,
        name: str,
    ) -> ir.Value:
        first, *others = matrices
        return self.transform(value, [sign * first, *others], channels, name)

    def _multiply(
        self, spectra: dict[Bits, ir.Value], weight: Weights, bias: Weights | None
    ) -> tuple[dict[Bits, ir.Value], dict[Bits, ir.Value]]:
        """The three products per sign pattern: (Yr, Yi) by signs, each [H.., M B, Cout].

        For a grouped Conv they are [M B, H.., Cout], and one of them has the bias.
        """
        real, imaginary = {}, {}
        taps = self._tap_spectra(weight)
        for signs in self._signs:
            name = _name(signs)
            xr = self._signed_sum(spectra, signs, 0, f"real_{name}")
            xi = self._signed_sum(spectra, signs, 1, f"imaginary_{name}")
            both = self._writer.op("Add", f"sum_{name}", xr, xi)
            within = self._bias_within(bias, -1.0)
            p1 = self.product(both, taps[f"1_{name}"], self._half, f"product_1_{name}")
            p2 = self.product(xr, taps[f"2_{name}"], self._half, f"product_2_{name}")
            p3 = self.product(xi, taps[f"3_{name}"], self._half, f"product_3_{name}", within)
            real[signs] = self._writer.op("Sub", f"y_real_{name}", p1, p3)
            imaginary[signs] = self._writer.op("Add", f"y_imaginary_{name}", p1, p2)
        return real, imaginary

    def _multiply_by_two(
        self, spectra: dict[Bits, ir.Value], weight: Weights, bias: Weights | None
    ) -> tuple[dict[Bits, ir.Value], dict[Bits, ir.Value]]:
        """The same as four products with two tables: real and imaginary parts are pixels of one grouped Conv.

        Wr gives (Xr Wr, Xi Wr) and Wi (Xr Wi, Xi Wi); Yr = Xr Wr - Xi Wi, Yi = Xi Wr + Xr Wi. A bias of a Conv adds
        to both of its pixels: half of it with Wr, and less half of it with Wi, is all of it in Yr and none in Yi.
        """
        writer, real, imaginary = self._writer, {}, {}
        taps = self._tap_spectra(weight)
        which = [writer.constant("half", np.array(half, dtype=np.int64)) for half in (0, 1)]
        for signs in self._signs:
            name = _name(signs)
            xr = self._signed_sum(spectra, signs, 0, f"real_{name}")
            xi = self._signed_sum(spectra, signs, 1, f"imaginary_{name}")
            both = writer.op("Concat", f"both_{name}", xr, xi, axis=0)
            halves = []
            for part, sign in (("r", 0.5), ("i", -0.5)):
                within = self._bias_within(bias, sign)
                y = self.product(both, taps[f"{part}_{name}"], self._half, f"product_{part}_{name}", within)
                y = writer.reshape(f"halves_{part}_{name}", y, (2, -1, self._group_out))
                halves.append([writer.op("Gather", f"half_{part}_{name}", y, half, axis=0) for half in which])
            (rr, ir_), (ri, ii) = halves
            real[signs] = writer.op("Sub", f"y_real_{name}", rr, ii)
            imaginary[signs] = writer.op("Add", f"y_imaginary_{name}", ir_, ri)
        return real, imaginary

    def _bias_within(self, bias: Weights | None, factor: float) -> Weights | None:
        """A multiple of what gives Yr of a sign pattern its share of the bias, [H.., Cout], for a grouped Conv.

        All sign patterns have the same share, which cancels in the parts that are odd along two axes.
        """
        if bias is None or not self._grouped:
            return None
        ones = products_of_ones([form.synthesis_cosines for form in self._forms])
        return np.outer(factor / (self._scale * len(self._signs)) * ones, bias)

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
        """Per sign pattern the tables Wr, Wi - Wr and Wr + Wi of the taps, in the shape that `product` takes.

        Where four products are made of two tables they are Wr and Wi.

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
            if self._grouped and few_tiles(self._tilings):
                tables[f"r_{name}"], tables[f"i_{name}"] = wr, wi
                continue
            tables[f"1_{name}"] = wr
            tables[f"2_{name}"] = [im - re for re, im in zip(wr, wi, strict=True)]
            tables[f"3_{name}"] = [re + im for re, im in zip(wr, wi, strict=True)]
        first = [self._forms[0].tap_cosines, self._forms[0].tap_sines] if self._spec.rank == 2 else None
        transform = TapTransform(self._writer, self._spec, weight, product_form=self._product_form)
        return transform.tables(tables, first)

    def _synthesize(
        self, real: dict[Bits, ir.Value], imaginary: dict[Bits, ir.Value], bias: Weights | None
    ) -> dict[Bits, ir.Value]:
        """The outputs' parity parts, in shapes of `tile_rows`; the bias joins the part that is even everywhere.

        For a grouped Conv they are [M B, positions, Cout], and the bias is in the spectra.
        """
        flat = (-1, self._half, self._group_out) if self._grouped else (*self._lead, self._half, -1)
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
            columns = self._writer.reshape(f"y_{name}.columns", total, flat)
            matrices = [
                form.synthesis_sines if odd else form.synthesis_cosines
                for form, odd in zip(self._forms, bits, strict=True)
            ]
            sign = self._scale * _folded_sign(bits)
            part = self._signed_transform(columns, matrices, sign, self._group_out, f"synthesis_{name}")
            parts[bits] = part if self._grouped else self.tile_rows(f"synthesis_{name}.rows", part, mirrored)
        if self._grouped:
            return parts
        even = self._bits[0]
        parts[even] = self.add_bias(parts[even], bias)
        return parts

    def _corners_in_order(self, corners: dict[Bits, ir.Value]) -> ir.Value:
        """The outputs of all corners and tiles in their order, as [B, C, *out_spatial]."""
        axis = 1 if self._grouped else self._axis
        together = self._writer.op("Concat", "corners", *(corners[bits] for bits in self._bits), axis=axis)
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
