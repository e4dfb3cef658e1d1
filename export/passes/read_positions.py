"""Which positions of every value of a graph are read: an interval along every axis, found backwards from the outputs.

An element-wise operator reads what is read of its output. A convolution of stride s, dilation d and k taps whose
outputs a .. b-1 are read needs the padded inputs s a .. s (b-1) + d (k-1).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import constant, is_operator
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.passes.layout_assignment import ELEMENT_WISE

Interval = tuple[int, int]
Part = tuple[Interval | None, ...]
"""What is read of a value, axis by axis: first position and the one behind the last, or None for all."""

_NOT_WORTH_A_COPY = 0.95
"""The share of an axis from which on all of it is computed: a Slice costs a copy."""


class Demand:
    """Which part of every value of a graph is read.

    Args:
        graph: the graph.
        specs: its convolutions.

    Attributes:
        parts: the parts of the values of which not everything is read.
    """

    def __init__(self, graph: ir.Graph, specs: Mapping[ir.Node, ConvSpec]) -> None:
        self.parts: dict[ir.Value, Part] = {}
        self._graph, self._specs = graph, specs
        self._croppable: dict[ir.Value, tuple[bool, ...]] = {}
        nodes = list(graph)
        for node in nodes:
            self._find_croppable(node)
        for node in reversed(nodes):
            self._crop_outputs(node)

    def _find_croppable(self, node: ir.Node) -> None:
        """Along which axes the outputs can be computed in part: those that a convolution behind them saves on."""
        if node in self._specs:
            self._croppable[node.outputs[0]] = (False, False, *[True] * self._specs[node].rank)
            return
        for output in node.outputs:
            rank = len(output.shape) if output.shape is not None else None
            if rank is None:
                continue
            axes = [False] * rank
            for value in node.inputs:
                for axis, whence in enumerate(sources(node, value, output)):
                    if value in self._croppable and whence is not None:
                        axes[axis] |= self._croppable[value][whence]
            if any(axes):
                self._croppable[output] = tuple(axes)

    def _crop_outputs(self, node: ir.Node) -> None:
        if len(node.outputs) > 1 and not is_operator(node, "Split"):
            return
        for output in node.outputs:
            if output not in self._croppable or output.is_graph_output() or not output.uses():
                continue
            part: Part | None = None
            for user, place in output.uses():
                read = self._read(user, place, output)
                part = read if part is None else _union(part, read)
            assert part is not None
            sizes = extents(output)
            part = tuple(
                interval
                if able and interval is not None and size is not None and _worthwhile(interval, size)
                else None
                for interval, able, size in zip(part, self._croppable[output], sizes, strict=True)
            )
            if node in self._specs and min(cropped_spec(self._specs[node], part)[0].pads) < 0:
                continue  # all that is read lies in the padding
            if any(part):
                self.parts[output] = part
        if is_operator(node, "Split") and any(output in self.parts for output in node.outputs):
            # Its outputs come from one value: all of them get what any of them needs.
            part = None
            for output in node.outputs:
                own = self.parts.pop(output, (None,) * len(extents(output)))
                part = own if part is None else _union(part, own)
            assert part is not None
            if any(part):
                self.parts.update(dict.fromkeys(node.outputs, part))

    def _read(self, user: ir.Node, place: int, value: ir.Value) -> Part:
        """What one reader reads of a value."""
        everything: Part = (None,) * len(extents(value))
        if user.graph is not self._graph:
            return everything
        if user in self._specs:
            if place != 0:
                return everything
            return cropped_spec(self._specs[user], self.parts.get(user.outputs[0]))[1]
        if place == 0 and (selected := selection(user)) is not None:
            axis_parts: list[Interval | None] = list(everything)
            if user.outputs[0] in self.parts:
                for axis, whence in enumerate(sources(user, value, user.outputs[0])):
                    if whence is not None:
                        axis_parts[whence] = self.parts[user.outputs[0]][axis]
            for axis, (first, behind) in selected.items():
                inner = axis_parts[axis] if is_operator(user, "Slice") else None
                axis_parts[axis] = (first, behind) if inner is None else (first + inner[0], first + inner[1])
            return tuple(axis_parts)
        read: Part | None = None
        for output in user.outputs:
            part = self.parts.get(output)
            if part is None:
                return everything
            mapped: list[Interval | None] = list(everything)
            for axis, whence in enumerate(sources(user, value, output)):
                if whence is not None:
                    mapped[whence] = part[axis]
            read = tuple(mapped) if read is None else _union(read, tuple(mapped))
        return everything if read is None else read


def selection(node: ir.Node) -> dict[int, Interval] | None:
    """What a Slice of step 1, or a Gather with constant indices, reads along its axes; None for anything else."""
    x = node.inputs[0] if node.inputs else None
    if x is None or x.shape is None:
        return None
    sizes = extents(x)
    if is_operator(node, "Gather"):
        axis, index = _gather_axis(node), index_of(node)
        if index is None or index.size == 0:
            return None
        return {axis % len(sizes): (int(index.min()), int(index.max()) + 1)}
    if not is_operator(node, "Slice") or len(node.inputs) < 3:
        return None
    tables = [constant(value) for value in node.inputs[1:]]
    if any(table is None and value is not None for table, value in zip(tables, node.inputs[1:], strict=True)):
        return None
    starts, ends, axes, steps = [
        None if table is None else [int(number) for number in table.numpy().reshape(-1)]
        for table in [*tables, None, None][:4]
    ]
    if starts is None or ends is None or any(step != 1 for step in steps or ()):
        return None
    selected: dict[int, Interval] = {}
    for axis, start, end in zip(axes or range(len(starts)), starts, ends, strict=True):
        size = sizes[axis % len(sizes)]
        if size is None:
            return None
        first, behind, _ = slice(start, end).indices(size)
        if behind <= first:
            return None
        selected[axis % len(sizes)] = (first, behind)
    return selected


def sources(node: ir.Node, value: ir.Value | None, output: ir.Value) -> tuple[int | None, ...]:
    """Per axis of an output: the axis of an input whose positions are the same, or None."""
    outer = extents(output)
    if value is None or not outer:
        return (None,) * len(outer)
    inner = extents(value)
    first = value is node.inputs[0]
    if node.domain in ("", "ai.onnx"):
        if node.op_type in ELEMENT_WISE:
            shift = len(outer) - len(inner)
            return tuple(
                axis - shift if axis >= shift and size is not None and inner[axis - shift] == size else None
                for axis, size in enumerate(outer)
            )
        if node.op_type == "BatchNormalization" and first:
            return tuple(range(len(outer)))
        if node.op_type in ("Concat", "Split") and (first or node.op_type == "Concat"):
            joined = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
            return tuple(None if axis == joined % len(outer) else axis for axis in range(len(outer)))
        if node.op_type == "Transpose":
            perm = node.attributes.get("perm")
            return tuple(reversed(range(len(outer)))) if perm is None else tuple(perm.as_ints())
        if first and selection(node) is not None:
            if node.op_type == "Slice":
                return tuple(range(len(outer)))
            axis, index = _gather_axis(node) % len(inner), index_of(node)
            assert index is not None
            return (*range(axis), *[None] * index.ndim, *range(axis + 1, len(inner)))
    return (None,) * len(outer)


def _gather_axis(node: ir.Node) -> int:
    attribute = node.attributes.get("axis")
    return 0 if attribute is None else attribute.as_int()


def index_of(node: ir.Node) -> npt.NDArray[np.int64] | None:
    """The indices of a Gather, counted from the front; None if they are not known."""
    table, x = constant(node.inputs[1]), node.inputs[0]
    size = None if x is None else extents(x)[_gather_axis(node)]
    if table is None or size is None:
        return None
    index = table.numpy().astype(np.int64)
    return np.where(index < 0, index + size, index)


def extents(value: ir.Value) -> tuple[int | None, ...]:
    """The length of every axis, None where it is not known; no axes if the shape is not known."""
    return (
        () if value.shape is None else tuple(size if isinstance(size, int) else None for size in value.shape)
    )


def _union(one: Part, other: Part) -> Part:
    return tuple(
        None if a is None or b is None else (min(a[0], b[0]), max(a[1], b[1]))
        for a, b in zip(one, other, strict=True)
    )


def _worthwhile(interval: Interval, size: int) -> bool:
    return interval[1] - interval[0] <= _NOT_WORTH_A_COPY * size


def cropped_spec(spec: ConvSpec, part: Part | None) -> tuple[ConvSpec, Part]:
    """A convolution that computes `part` of its outputs, and what it reads of its input.

    A padding is negative where nothing but padding is read.
    """
    spatial, begin, end = list(spec.spatial), list(spec.pads_begin), list(spec.pads_end)
    read: list[Interval | None] = [None, None, *[None] * spec.rank]
    for axis, interval in enumerate((part or read)[2:]):
        if interval is None:
            continue
        first = interval[0] * spec.strides[axis] - spec.pads_begin[axis]
        reach = spec.dilations[axis] * (spec.kernel[axis] - 1)
        behind = (interval[1] - 1) * spec.strides[axis] + reach + 1 - spec.pads_begin[axis]
        inside = max(first, 0), min(behind, spec.spatial[axis])
        begin[axis], end[axis] = inside[0] - first, behind - inside[1]
        if inside[0] >= inside[1]:
            begin[axis] = -1
            continue
        spatial[axis] = inside[1] - inside[0]
        if inside != (0, spec.spatial[axis]):
            read[2 + axis] = inside
    cropped = spec.model_copy(
        update={"spatial": tuple(spatial), "pads_begin": tuple(begin), "pads_end": tuple(end)}
    )
    return cropped, tuple(read)
