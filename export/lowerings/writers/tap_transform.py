"""Transformed taps as operators on constants, which an engine computes once, when it loads the model.

The tables that a bilinear form multiplies by are several times as large as the taps (3T/2 numbers of an FFT tile for
k taps), and are the taps times a small matrix. Only the taps and the matrices are stored; engines fold operators on
constants. With C all channels together, s splits of a stride, and K the taps of all axes,

    taps [K, C] -> MatMul with [R s, K] -> [R, s Cin, Cout]

Of two axes the matrix is a sum over parts p (cosines and sines, say) of Kronecker products A_p x B_p. One of many
rows for few channels would itself be large; then there is a product per axis, and all tables share the first one:

    taps [k1, k2 C] -> MatMul with [R1 s1 P, k1] -> [R1 s1, P k2, C] -> MatMul with [R2 s2, P k2]
      -> [R1 R2, s Cin, Cout]

A stride splits the taps j = s a + r; the matrix of an axis has a row for each split as well, which is zero where a
tap belongs to another one. Groups are an axis in front of all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.lowerings.base import ProductForm, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter

Matrix = npt.NDArray[np.floating]

_SMALL_MATRIX = 1 / 16
"""Of the size of the taps: how large the Kronecker products of all tables may be together."""

_MOST_BLOCKS, _WORTHWHILE = 8, 0.9
"""Blocks without outer zeros: how many, and which share of the taps they may store at most."""


class TapTransform:
    """The taps of one convolution, and the operators that transform them.

    Args:
        writer: where nodes and constants go.
        spec: the canonical form.
        weight: its taps, [Cout, Cin / groups, *kernel].
        product_form: whether the tables are weights of a grouped Conv, without groups of channels, or the left-hand
            side of a batched product; None is its right-hand side.
    """

    def __init__(
        self,
        writer: GraphWriter,
        spec: ConvSpec,
        weight: Weights,
        *,
        product_form: ProductForm | None = None,
    ) -> None:
        self._writer, self._spec, self._weight = writer, spec, weight
        self._grouped, self._outputs_first = product_form == "grouped", product_form is not None
        self._lead = () if spec.groups == 1 else (spec.groups,)
        self._channels = prod(weight.shape[:2]) // spec.groups

    def tables(
        self, last: Mapping[str, Sequence[Matrix]], first: Sequence[Matrix] | None = None
    ) -> dict[str, ir.Value]:
        """Tables by name, each [G, R.., splits Cin, Cout]; without G where there are no groups.

        Weights of a grouped Conv are [R.. Cout, splits Cin, 1, 1], the left-hand side of a product
        [G, R.., Cout, splits Cin].

        Args:
            last: of each table, [R, taps of one split] of the last axis, part by part.
            first: [R, taps of one split] of the first of two axes, part by part; None for a single axis.
        """
        if first is None:
            whole = {name: self._per_split(parts[0], 0) for name, parts in last.items()}
        else:
            rows = sum(len(first[0]) * len(parts[0]) for parts in last.values()) * prod(self._spec.strides)
            if rows * self._weight[0, 0].size > _SMALL_MATRIX * self._weight.size:
                return self._axis_by_axis(last, first)
            whole = {name: self._kronecker(first, parts) for name, parts in last.items()}
        taps = self._taps((-1, self._channels))
        return {name: self._in_shape(name, self._product(name, whole[name], taps)) for name in last}

    def _axis_by_axis(
        self, last: Mapping[str, Sequence[Matrix]], first: Sequence[Matrix]
    ) -> dict[str, ir.Value]:
        writer, lead, front = self._writer, self._lead, len(self._lead)
        splits, taps = self._spec.strides, self._spec.kernel
        columns = np.stack([self._per_split(matrix, 0) for matrix in first], axis=1)
        both = self._product("first", columns.reshape(-1, taps[0]), self._taps((taps[0], -1)))
        shape = (*lead, len(columns), len(first) * taps[1], self._channels)
        both = writer.reshape("taps_first.parts", both, shape)
        found = {}
        for name, parts in last.items():
            table = self._product(name, np.hstack([self._per_split(part, 1) for part in parts]), both)
            if prod(splits) > 1:
                shape = (*lead, len(first[0]), splits[0], len(parts[0]), splits[1], self._channels)
                table = writer.reshape(f"taps_{name}.splits", table, shape)
                perm = (*range(front), *(front + axis for axis in (0, 2, 1, 3, 4)))
                table = writer.op("Transpose", f"taps_{name}.beside", table, perm=perm)
            found[name] = self._in_shape(name, table)
        return found

    def _kronecker(self, first: Sequence[Matrix], last: Sequence[Matrix]) -> Matrix:
        """[R1 R2 s1 s2, k1 k2], the sum over the parts."""
        (s1, s2), (k1, k2) = self._spec.strides, self._spec.kernel
        total = np.zeros(())
        for one, other in zip(first, last, strict=True):
            a = self._per_split(one, 0).reshape(-1, s1, k1)
            b = self._per_split(other, 1).reshape(-1, s2, k2)
            total = total + np.einsum("frj,gsl->fgrsjl", a, b)
        return total.reshape(-1, k1 * k2)

    def _per_split(self, matrix: Matrix, axis: int) -> Matrix:
        """[R s, k] of [R, ceil(k / s)]: row (f, r) has column a of row f at tap s a + r."""
        (rows, each), stride = matrix.shape, self._spec.strides[axis]
        apart = np.zeros((rows, stride, each, stride), matrix.dtype)
        for split in range(stride):
            apart[:, split, :, split] = matrix
        return apart.reshape(rows * stride, each * stride)[:, : self._spec.kernel[axis]]

    def _product(self, name: str, matrix: Matrix, value: ir.Value) -> ir.Value:
        table = self._writer.constant(f"taps_{name}.matrix", matrix.astype(self._weight.dtype))
        return self._writer.op("MatMul", f"taps_{name}", table, value)

    def _in_shape(self, name: str, table: ir.Value) -> ir.Value:
        splits = prod(self._spec.strides)
        depth = splits * self._weight.shape[1]
        outputs, front = self._weight.shape[0] // self._spec.groups, len(self._lead)
        if self._outputs_first and splits > 1:  # the splits are in front of the output channels
            apart = (*self._lead, -1, splits, outputs, self._weight.shape[1])
            table = self._writer.reshape(f"taps_{name}.apart", table, apart)
            perm = (*range(front), *(front + axis for axis in (0, 2, 1, 3)))
            table = self._writer.op("Transpose", f"taps_{name}.joined", table, perm=perm)
        if self._grouped:
            return self._writer.reshape(f"taps_{name}.table", table, (-1, depth, 1, 1))
        both = (outputs, depth) if self._outputs_first else (depth, outputs)
        shape = (*self._lead, -1, *both)
        return self._writer.reshape(f"taps_{name}.table", table, shape)

    def _taps(self, shape: Sequence[int]) -> ir.Value:
        """The taps in a shape, [G, *kernel, Cin, Cout] being their order; with the outputs first [.., Cout, Cin].

        Output channels whose outer taps are all zero, as those of several convolutions in one layer are, are stored
        without them.
        """
        spec, writer = self._spec, self._writer
        blocks = _blocks(spec, self._weight)
        last, before = (-2, -1) if self._outputs_first else (-1, -2)
        if len(blocks) == 1:
            apart = self._weight.reshape(spec.groups, -1, *self._weight.shape[1:])
            taps = np.moveaxis(apart, (1, 2), (last, before))
            return writer.constant("taps", taps.reshape(*self._lead, *shape))
        parts = []
        for first, count, box in blocks:
            taps = np.moveaxis(
                self._weight[(slice(first, first + count), slice(None), *box)], (0, 1), (last, before)
            )
            begin = [axis.start for axis in box]
            end = [size - axis.stop for axis, size in zip(box, spec.kernel, strict=True)]
            part = writer.constant("taps", taps)
            if any(begin) or any(end):
                pads = writer.integers("taps_block.pads", [*begin, 0, 0, *end, 0, 0])
                part = writer.op("Pad", "taps_block", part, pads)
            parts.append(part)
        return writer.reshape(
            "taps_blocks.flat", writer.op("Concat", "taps_blocks", *parts, axis=last), shape
        )


def _blocks(spec: ConvSpec, weight: Weights) -> list[tuple[int, int, tuple[slice, ...]]]:
    """(first channel, channels, the box of its taps that are not zero); one with all taps where that pays not."""
    whole = [(0, spec.out_channels, tuple(slice(0, taps) for taps in spec.kernel))]
    if spec.groups > 1:
        return whole
    found, first = [], 0
    for box, members in groupby(_box(alive) for alive in np.any(weight != 0, axis=1)):
        count = len(list(members))
        found.append((first, count, tuple(slice(*ends) for ends in box)))
        first += count
    stored = sum(count * prod(axis.stop - axis.start for axis in box) for _, count, box in found)
    pays = len(found) <= _MOST_BLOCKS and stored <= _WORTHWHILE * spec.out_channels * prod(spec.kernel)
    return found if pays else whole


def _box(alive: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """(start, stop) per axis around what is true; one tap where nothing is."""
    ends = []
    for axis in range(alive.ndim):
        along = np.flatnonzero(alive.any(axis=tuple(other for other in range(alive.ndim) if other != axis)))
        ends.append((int(along[0]), int(along[-1]) + 1) if along.size else (0, 1))
    return tuple(ends)
