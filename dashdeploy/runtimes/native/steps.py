"""Writes the nodes of a native stage as the steps of a program.

Every value is rows of channels, channels last, from the stage's inputs to its outputs: between layers nothing is
transposed. What a Concat joins is written to its place at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto

from dashdeploy.runtimes.native.graph_file import FUSED_CONV
from dashdeploy.runtimes.native.operators import ACTIVATIONS, sliced, split_sizes
from dashdeploy.runtimes.native.program import Activation, Algorithm, ConvGeometry, Floats, Program, Rows
from dashdeploy.runtimes.native.shapes import Facts, attributes, pair, per_channel, plane

_VIEWS = frozenset({"Identity", "Flatten", "Squeeze", "Gather", "Slice", "Split"})


class Steps:
    """The program of one stage.

    Args:
        nodes: of the stage, in order.
        facts: of the graph.
        inputs: values that it takes, in order.
        outputs: values that it gives, in order.
        threads: that one run uses.
    """

    def __init__(
        self,
        nodes: Sequence[NodeProto],
        facts: Facts,
        inputs: Sequence[str],
        outputs: Sequence[str],
        threads: int,
    ) -> None:
        self.program = Program(threads)
        self._facts = facts
        self._nodes = nodes
        self._outputs = set(outputs)
        self._rows: dict[str, Rows] = {}
        self._planned: dict[str, Rows] = {}
        self._skipped: set[str] = set()
        for name in inputs:
            self._take(name)
        self._plan_concats()
        for node in nodes:
            if node.output[0] not in self._skipped:
                self._write(node)
        for name in outputs:
            self._give(name)
        self.program.ready()

    def _take(self, name: str) -> None:
        """Rows of a value that comes channels first."""
        channels, positions = self._sizes(name)
        given = self.program.buffer(positions, channels)
        self.program.input(given)
        self._rows[name] = given
        if channels > 1 and positions > 1:
            turned = self.program.buffer(positions, channels)
            self.program.transpose(channels, positions, given, turned)
            self._rows[name] = turned

    def _give(self, name: str) -> None:
        """A value channels first."""
        channels, positions = self._sizes(name)
        result = self.program.buffer(positions, channels)
        rows = self._rows[name]
        if channels > 1 and positions > 1:
            if rows.stride != channels or rows.offset:
                rows = self._copy(rows, positions)
            self.program.transpose(positions, channels, rows, result)
        else:
            # One position, or one channel: a copy either way, since somebody else may read it.
            self.program.affine(positions, rows, result)
        self.program.output(result, positions * channels)

    def _copy(self, rows: Rows, positions: int) -> Rows:
        copy = self.program.buffer(positions, rows.channels)
        self.program.affine(positions, rows, copy)
        return copy

    def _sizes(self, name: str) -> tuple[int, int]:
        shape = self._facts.shapes[name]
        return shape[0], prod(shape[1:])

    def _plan_concats(self) -> None:
        """Where the inputs of a Concat are to be written; the last Concat first: nested ones share a buffer."""
        produced = {node.output[0]: node for node in self._nodes if node.op_type not in _VIEWS}
        for node in reversed(self._nodes):
            if node.op_type != "Concat":
                continue
            channels, positions = self._sizes(node.output[0])
            whole = self._planned.setdefault(node.output[0], self.program.buffer(positions, channels))
            offset = whole.offset
            for name in node.input:
                mine = Rows(whole.buffer, self._facts.shapes[name][0], whole.stride, offset)
                if name in produced:
                    self._planned.setdefault(name, mine)
                offset += mine.channels

    def _new(self, name: str) -> Rows:
        channels, positions = self._sizes(name)
        rows = self._planned.get(name)
        if rows is None:
            rows = self.program.buffer(positions, channels)
        self._rows[name] = rows
        return rows

    def _write(self, node: NodeProto) -> None:
        name = node.op_type
        if name == FUSED_CONV:
            self._conv(node)
        elif name in ACTIVATIONS:
            self._affine(node, node.input[0], activation=ACTIVATIONS[name])
        elif name in ("Add", "Mul"):
            self._combine(node)
        elif name == "BatchNormalization":
            scale, shift = _normalization(node, self._facts)
            self._affine(node, node.input[0], scale=scale, shift=shift)
        elif name in ("MaxPool", "AveragePool"):
            self._pool(node)
        elif name in ("GlobalAveragePool", "ReduceMean"):
            size = plane(self._facts.shapes[node.input[0]][1:])
            whole = ConvGeometry(size, size, (1, 1), (1, 1), (0, 0), (1, 1))
            self.program.pool(whole, self._rows[node.input[0]], self._new(node.output[0]), mean=True)
        elif name == "Concat":
            self._concat(node)
        elif name in ("Gemm", "MatMul"):
            self._matrix(node)
        elif name == "Gather":
            rows, shape = self._rows[node.input[0]], self._facts.shapes[node.input[0]]
            index = int(self._facts.constants[node.input[1]]) % shape[1]
            self._rows[node.output[0]] = replace(rows, offset=rows.offset + index * rows.stride)
        elif name == "Slice":
            self._slice(node)
        elif name == "Split":
            self._split(node)
        else:
            self._rows[node.output[0]] = self._rows[node.input[0]]

    def _slice(self, node: NodeProto) -> None:
        rows, shape = self._rows[node.input[0]], self._facts.shapes[node.input[0]]
        found = sliced(node, self._facts)
        assert found is not None  # else it is not of a native stage
        (channel, *start), (channels, *_) = found
        position = start[0] * prod(shape[2:])
        offset = rows.offset + position * rows.stride + channel
        self._rows[node.output[0]] = Rows(rows.buffer, channels, rows.stride, offset)

    def _split(self, node: NodeProto) -> None:
        rows = self._rows[node.input[0]]
        offset = rows.offset
        for name, channels in zip(node.output, split_sizes(node, self._facts) or [], strict=True):
            self._rows[name] = Rows(rows.buffer, channels, rows.stride, offset)
            offset += channels

    def _conv(self, node: NodeProto) -> None:
        facts, found = self._facts, attributes(node)
        weight = facts.constants[node.input[1]].astype(np.float32, copy=False)
        bias = self._constant(node, 2)
        rank = weight.ndim - 2
        pads = found.get("pads", [0] * (2 * rank))
        tile = pair(found.get("tile"), rank, 1) if found["algorithm"] == "fft" else (0, 0)
        geometry = ConvGeometry(
            in_size=plane(facts.shapes[node.input[0]][1:]),
            kernel=pair(list(weight.shape[2:]), rank, 1),
            stride=pair(found.get("strides"), rank, 1),
            dilation=pair(found.get("dilations"), rank, 1),
            before=pair(pads[:rank], rank, 0),
            out_size=plane(facts.shapes[node.output[0]][1:]),
            groups=found.get("group", 1),
            algorithm=Algorithm[str(found["algorithm"]).upper()],
            tile=tile,
        )
        added = node.input[3] if len(node.input) > 3 else ""
        self.program.conv(
            geometry,
            weight,
            bias,
            self._rows[node.input[0]],
            self._new(node.output[0]),
            added=self._rows[added] if added else None,
            activation=Activation[str(found.get("activation", "none")).upper()],
        )

    def _constant(self, node: NodeProto, index: int) -> Floats | None:
        name = node.input[index] if len(node.input) > index else ""
        return self._facts.constants[name].astype(np.float32).reshape(-1) if name else None

    def _affine(
        self,
        node: NodeProto,
        x: str,
        *,
        scale: Floats | None = None,
        shift: Floats | None = None,
        added: str | None = None,
        activation: Activation = Activation.NONE,
    ) -> None:
        output = node.output[0]
        follower = self._follower(output) if activation is Activation.NONE else None
        if follower is not None:
            activation, output = ACTIVATIONS[follower.op_type], follower.output[0]
            self._skipped.add(output)
        self.program.affine(
            self._sizes(output)[1],
            self._rows[x],
            self._new(output),
            scale=scale,
            shift=shift,
            added=self._rows[added] if added else None,
            activation=activation,
        )

    def _follower(self, name: str) -> NodeProto | None:
        """The activation that alone reads a value of this stage."""
        if self._facts.readers.get(name) != 1 or name in self._outputs:
            return None
        return next(
            (node for node in self._nodes if node.op_type in ACTIVATIONS and node.input[0] == name), None
        )

    def _combine(self, node: NodeProto) -> None:
        """A sum of two values, or a sum or product with a constant per channel."""
        constants = self._facts.constants
        x, other = node.input
        if x in constants:
            x, other = other, x
        if other not in constants:
            self._affine(node, x, added=other)
            return
        values = per_channel(constants[other], self._facts.shapes[x])
        if node.op_type == "Mul":
            self._affine(node, x, scale=values)
        else:
            self._affine(node, x, shift=values)

    def _pool(self, node: NodeProto) -> None:
        found, shape = attributes(node), self._facts.shapes[node.input[0]]
        rank = len(shape) - 1
        geometry = ConvGeometry(
            in_size=plane(shape[1:]),
            kernel=pair(found["kernel_shape"], rank, 1),
            stride=pair(found.get("strides"), rank, 1),
            dilation=pair(found.get("dilations"), rank, 1),
            before=pair(found.get("pads", [0] * (2 * rank))[:rank], rank, 0),
            out_size=plane(self._facts.shapes[node.output[0]][1:]),
        )
        self.program.pool(
            geometry,
            self._rows[node.input[0]],
            self._new(node.output[0]),
            mean=node.op_type == "AveragePool",
            count_padding=bool(found.get("count_include_pad", 0)),
        )

    def _concat(self, node: NodeProto) -> None:
        """Only what could not be written to its place at once is copied there."""
        whole = self._new(node.output[0])
        offset, positions = whole.offset, self._sizes(node.output[0])[1]
        for name in node.input:
            mine = Rows(whole.buffer, self._facts.shapes[name][0], whole.stride, offset)
            if self._rows[name] != mine:
                self.program.affine(positions, self._rows[name], mine)
            offset += mine.channels

    def _matrix(self, node: NodeProto) -> None:
        matrix = self._facts.constants[node.input[1]].astype(np.float32)
        weight = matrix if attributes(node).get("transB", 0) else matrix.T
        geometry = ConvGeometry((1, 1), (1, 1), (1, 1), (1, 1), (0, 0), (1, 1))
        bias = self._constant(node, 2)
        self.program.conv(geometry, weight, bias, self._rows[node.input[0]], self._new(node.output[0]))


def _normalization(node: NodeProto, facts: Facts) -> tuple[Floats, Floats]:
    scale, shift, mean, variance = (facts.constants[name].astype(np.float64) for name in node.input[1:])
    factor = scale / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    return factor.astype(np.float32), (shift - factor * mean).astype(np.float32)
