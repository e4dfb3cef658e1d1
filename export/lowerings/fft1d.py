"""The FFT convolution in one dimension, tiled by overlap-save, dilated by polyphase, in ordinary operators.

The outputs of phase p = 0 .. d-1 (positions p, p+d, p+2d, ...) depend on the inputs of that phase alone: an
ordinary undilated convolution. Each phase is cut into Q tiles; tile (q, p) reads the padded inputs
(q S + t) d + p, t = 0 .. T-1, and gives the outputs (q S + s) d + p, s = 0 .. S-1. `FFTForm` computes a tile.

The layout makes every move a copy of blocks: positions first, channels last. With B the batch and M = Q d
the tiles:

    x [B, C, N] -> [N, B, C] -> pad -> gather the rows of (u, q, p), right half and mirrored left half
      -> [H, M B C] each -> sum and difference -> MatMul with analysis_even, analysis_odd
      -> three batched MatMuls with the spectra of the taps, [H, M B, Cin] x [H, Cin, Cout]
      -> MatMul with synthesis_even, synthesis_odd -> sum and difference -> gather the N outputs in order
      -> + bias -> [B, C, N]

Groups are an axis in front of all others. The transposes at both ends cancel between neighbouring layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.conv_spec import ConvSpec
from dashdeploy.export.graph_writer import GraphWriter
from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.ops.fft_form import FFTForm

_TILES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256)
"""Tile lengths: half of each is a multiple of 4, which the engines' small matrix products like."""


@dataclass(frozen=True)
class FFT1d(Lowering):
    """FFT convolution of a 1-D signal.

    Args:
        tile: T, the tile's length, even and at least the number of taps.
    """

    name: ClassVar[str] = "fft"
    tile: int

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """Strides, and everything that is not one-dimensional floating point."""
        if spec.rank != 1:
            return f"{spec.rank} spatial axes: this lowering is for one"
        if spec.strides != (1,):
            return f"stride {spec.strides[0]}: the FFT form computes every output"
        if spec.dtype not in ("float32", "float64"):
            return f"{spec.dtype}: the FFT form is for float32 and float64"
        if min(spec.pads_begin + spec.pads_end) < 0:
            return "negative padding"
        if spec.out_spatial[0] < 1:
            return "no output: the kernel is longer than the padded input"
        return None

    @classmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:
        """Tile lengths from just above the taps to the whole phase."""
        taps = spec.kernel[0]
        phase = ceil(spec.out_spatial[0] / spec.dilations[0])
        whole = phase + taps - 1 + (phase + taps - 1) % 2  # one tile holds the whole phase
        tiles = {tile for tile in (*_TILES, 8 * ceil(taps / 4)) if taps < tile < whole}
        if not tiles or whole <= _TILES[-1]:
            tiles.add(whole)
        return [cls(tile) for tile in sorted(tiles)]

    @property
    def label(self) -> str:
        """``fft(tile=48)``."""
        return f"{self.name}(tile={self.tile})"

    def multiply_adds(self, spec: ConvSpec) -> int:
        """Transforms and products of all tiles."""
        form, tiles, phases = self._tiling(spec)
        return tiles * phases * form.multiply_adds(spec.in_channels, spec.out_channels, spec.groups)

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Every array that one operator writes and another reads, and the spectra of the taps.

        The spectra count twice: engines copy the right-hand side of a batched product into their own order at
        every call. On ONNX Runtime's CPU this count alone predicts the time within 20 %.
        """
        form, tiles, phases = self._tiling(spec)
        columns = tiles * phases
        inputs = columns * spec.in_channels * form.half * 2 * 4  # gathered, summed, transformed, added
        outputs = columns * spec.out_channels * form.half * 2 * 4
        ends = 4 * (spec.spatial[0] * spec.in_channels + spec.out_spatial[0] * spec.out_channels)
        spectra = 3 * form.half * spec.in_channels * spec.out_channels // spec.groups
        return 2 * (inputs + outputs + ends + spectra) * np.dtype(spec.dtype).itemsize

    def _tiling(self, spec: ConvSpec) -> tuple[FFTForm, int, int]:
        """The form of a tile, Q (tiles per phase) and d (phases that have an output)."""
        form = FFTForm(self.tile, spec.kernel[0])
        (dilation,), (length,) = spec.dilations, spec.out_spatial
        return form, ceil(ceil(length / dilation) / form.outputs), min(dilation, length)

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write the nodes; see `Lowering.write` and the module's docstring."""
        form, tiles, phases = self._tiling(spec)
        left, right = self._input_rows(form, tiles, phases, spec.dilations[0])
        rows = self._positions_first(writer, spec, x, needed=int(max(left.max(), right.max())) + 1)
        upper = self._gather(writer, spec, rows, right, form.half, "gather_upper")
        lower = self._gather(writer, spec, rows, left, form.half, "gather_lower")
        real, imaginary = self._products(writer, spec, form, upper, lower, weight)
        even, odd = self._synthesize(writer, spec, form, real, imaginary)
        even = self._add_bias(writer, spec, even, bias)
        order = self._output_rows(form, tiles, phases, spec)
        count = 2 * len(form.synthesis_even) * tiles * phases
        return self._channels_first(writer, spec, even, odd, order, count)

    @staticmethod
    def _input_rows(
        form: FFTForm, tiles: int, phases: int, dilation: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Padded input rows of (u, q, p): the mirrored left half of each tile, and its right half."""
        q, p = np.arange(tiles)[None, :, None], np.arange(phases)[None, None, :]
        t = np.arange(form.tile)[:, None, None]
        rows = ((q * form.outputs + t) * dilation + p).astype(np.int64)
        return rows[: form.half][::-1].reshape(-1), rows[form.half :].reshape(-1)

    @staticmethod
    def _output_rows(form: FFTForm, tiles: int, phases: int, spec: ConvSpec) -> npt.NDArray[np.int64]:
        """Where each output position stands among the rows (mirrored output, q, p)."""
        step, phase = np.divmod(np.arange(spec.out_spatial[0]), spec.dilations[0])
        q, s = np.divmod(step, form.outputs)
        return (form.mirrored_row(s) * tiles + q) * phases + phase

    @staticmethod
    def _positions_first(writer: GraphWriter, spec: ConvSpec, x: ir.Value, needed: int) -> ir.Value:
        """[B, C, N] to padded [N, B, C], or to [G, N, B, C / G] with groups."""
        (before,), (length,) = spec.pads_begin, spec.spatial
        after = max(0, needed - before - length)
        if spec.groups == 1:
            rows = writer.op("Transpose", "to_rows", x, perm=(2, 0, 1))
            pads = [before, 0, 0, after, 0, 0]
        else:
            split = writer.reshape(
                "split_groups", x, (0, spec.groups, spec.in_channels // spec.groups, length)
            )
            rows = writer.op("Transpose", "to_rows", split, perm=(1, 3, 0, 2))
            pads = [0, before, 0, 0, 0, after, 0, 0]
        if before == after == 0:
            return rows
        return writer.op("Pad", "pad", rows, writer.integers("pad.pads", pads))

    @staticmethod
    def _gather(
        writer: GraphWriter,
        spec: ConvSpec,
        rows: ir.Value,
        index: npt.NDArray[np.int64],
        half: int,
        name: str,
    ) -> ir.Value:
        """The rows of half a tile, as the columns of a matrix: [H, M B C] or [G, H, M B C / G]."""
        gathered = writer.op(
            "Gather", name, rows, writer.constant(f"{name}.rows", index), axis=0 if spec.groups == 1 else 1
        )
        return writer.reshape(f"{name}.columns", gathered, (*_group_axis(spec), half, -1))

    @staticmethod
    def _products(
        writer: GraphWriter, spec: ConvSpec, form: FFTForm, upper: ir.Value, lower: ir.Value, weight: Weights
    ) -> tuple[ir.Value, ir.Value]:
        """Analysis and the products of the spectra: (Yr, Yi), each [H, M B, Cout] behind the group axis."""
        dtype = np.dtype(spec.dtype)
        even, odd = writer.op("Add", "even", upper, lower), writer.op("Sub", "odd", upper, lower)
        xr = writer.op(
            "MatMul", "analysis_even", writer.constant("C", form.analysis_even.astype(dtype)), even
        )
        xi = writer.op("MatMul", "analysis_odd", writer.constant("S", form.analysis_odd.astype(dtype)), odd)
        both = writer.op("Add", "real_plus_imaginary", xr, xi)

        per_group = weight.astype(np.float64).reshape(
            spec.groups, spec.out_channels // spec.groups, spec.in_channels // spec.groups, -1
        )
        # [H, G, Cout, Cin] becomes [G, H, Cin, Cout].
        wr, wi = (part.transpose(1, 0, 3, 2) for part in form.spectrum(per_group))
        shape = (*_group_axis(spec), form.half, -1, spec.in_channels // spec.groups)

        def product(name: str, spectrum: ir.Value, taps: npt.NDArray[np.float64]) -> ir.Value:
            table = taps.astype(dtype).reshape((*_group_axis(spec), *taps.shape[1:]))
            columns = writer.reshape(f"{name}.rows", spectrum, shape)
            return writer.op("MatMul", name, columns, writer.constant(f"{name}.taps", table))

        p1 = product("product_1", both, wr)
        p2 = product("product_2", xr, wi - wr)
        p3 = product("product_3", xi, wr + wi)
        return writer.op("Sub", "real", p1, p3), writer.op("Add", "imaginary", p1, p2)

    @staticmethod
    def _synthesize(
        writer: GraphWriter, spec: ConvSpec, form: FFTForm, real: ir.Value, imaginary: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """The parts of the outputs that are even and odd about a tile's centre, each [S / 2, M B, Cout]."""
        parts = []
        for name, matrix, value in (
            ("synthesis_even", form.synthesis_even, real),
            ("synthesis_odd", form.synthesis_odd, imaginary),
        ):
            table = writer.constant(f"{name}.matrix", matrix.astype(spec.dtype))
            columns = writer.reshape(f"{name}.columns", value, (*_group_axis(spec), form.half, -1))
            product = writer.op("MatMul", name, table, columns)
            rows = (*_group_axis(spec), len(matrix), -1, spec.out_channels // spec.groups)
            parts.append(writer.reshape(f"{name}.rows", product, rows))
        return parts[0], parts[1]

    @staticmethod
    def _add_bias(writer: GraphWriter, spec: ConvSpec, even: ir.Value, bias: Weights | None) -> ir.Value:
        """Add the bias to the even part: it then reaches both mirrored outputs for half the additions."""
        if bias is None:
            return even
        shape = (*_group_axis(spec), 1, 1, spec.out_channels // spec.groups)
        return writer.op("Add", "bias", even, writer.constant("bias.values", bias.reshape(shape)))

    @staticmethod
    def _channels_first(
        writer: GraphWriter,
        spec: ConvSpec,
        even: ir.Value,
        odd: ir.Value,
        order: npt.NDArray[np.int64],
        count: int,
    ) -> ir.Value:
        """Both mirrored halves of all tiles, in the order of the outputs, as [B, C, N]."""
        axis = 0 if spec.groups == 1 else 1
        right, left = writer.op("Add", "right", even, odd), writer.op("Sub", "left", even, odd)
        mirrored = writer.op("Concat", "mirrored", right, left, axis=axis)
        channels = spec.out_channels // spec.groups
        rows = writer.reshape("rows", mirrored, (*_group_axis(spec), count, -1, channels))
        y = writer.op("Gather", "outputs", rows, writer.constant("outputs.rows", order), axis=axis)
        if spec.groups == 1:
            return writer.op("Transpose", "to_channels", y, perm=(1, 2, 0))
        joined = writer.op("Transpose", "to_channels", y, perm=(2, 0, 3, 1))
        return writer.reshape("join_groups", joined, (-1, spec.out_channels, spec.out_spatial[0]))


def _group_axis(spec: ConvSpec) -> tuple[int, ...]:
    """The shape in front of all other axes: the groups where there are several, else nothing."""
    return () if spec.groups == 1 else (spec.groups,)
