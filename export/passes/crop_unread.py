"""Crops what nobody reads: a Slice behind a convolution becomes a shorter convolution.

Networks for long sequences compute every position and read a few: SpliceAI crops 10101 positions to 101 behind its
last layer, and a causal network's head reads the last step. `read_positions` finds what is read; what lies in the
padding stays padding, so the sums are the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.frontend.convolutions import Convolution, find_convolutions
from dashdeploy.export.frontend.graph_values import UnusedNames, graphs_of, is_operator, value_names
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.passes.base import GraphPass
from dashdeploy.export.passes.read_positions import (
    Demand,
    Interval,
    Part,
    cropped_spec,
    extents,
    index_of,
    selection,
    sources,
)

_LEAST_SAVED = 0.05
"""The share of all convolutions' multiply-adds that must be saved."""


class CropUnread(GraphPass):
    """Convolutions, and element-wise operators behind them, compute the positions that are read.

    Needs: shapes were inferred. Through element-wise operators, batch normalization, Transpose, and Concat and Split
    along other axes the positions are followed to a Slice of step 1 or a Gather with constant indices.
    """

    def rewrite(self, model: ir.Model) -> bool:
        """Crop graph by graph."""
        specs = {each.node: each.spec for each in find_convolutions(model) if _is_croppable(each)}
        names, modified = UnusedNames(value_names(model.graph)), False
        for graph in graphs_of(model):
            own = {node: spec for node, spec in specs.items() if spec is not None and node.graph is graph}
            parts = Demand(graph, own).parts
            saved = sum(
                spec.multiply_adds - cropped_spec(spec, parts[node.outputs[0]])[0].multiply_adds
                for node, spec in own.items()
                if node.outputs[0] in parts
            )
            total = sum(spec.multiply_adds for spec in own.values())
            if not total or saved < _LEAST_SAVED * total:
                self.leave(graph.name, "nearly all positions that its convolutions compute are read")
                continue
            _Cropping(graph, own, parts, names).run()
            modified = True
        return modified


class _Cropping:
    """Rewrites a graph so that every value has the part of it that is read.

    Args:
        graph: to be changed.
        specs: its convolutions.
        parts: as `Demand` finds them.
        names: names for new values.
    """

    def __init__(
        self,
        graph: ir.Graph,
        specs: Mapping[ir.Node, ConvSpec],
        parts: dict[ir.Value, Part],
        names: UnusedNames,
    ) -> None:
        self._graph, self._specs, self._parts, self._names = graph, specs, parts, names
        self._slices: dict[tuple[ir.Value, Part], ir.Value] = {}
        self._whole = {
            value: extents(value) for node in graph for value in (*node.inputs, *node.outputs) if value
        }

    def run(self) -> None:
        """Rewrite node by node, forwards."""
        for node in list(self._graph):
            if node in self._specs:
                self._crop_convolution(node)
            elif selection(node) is not None:
                self._select(node)
            elif any(output in self._parts for output in node.outputs):
                self._crop_inputs(node)
        for value, part in self._parts.items():
            _set_shape(value, part)

    def _crop_convolution(self, node: ir.Node) -> None:
        x = node.inputs[0]
        part = self._parts.get(node.outputs[0])
        if x is None or part is None:
            return
        spec, read = cropped_spec(self._specs[node], part)
        node.replace_input_with(0, self._cropped(x, read, node))
        node.attributes.pop("auto_pad", None)
        node.attributes["pads"] = ir.AttrInt64s("pads", [*spec.pads_begin, *spec.pads_end])

    def _crop_inputs(self, node: ir.Node) -> None:
        """Give an operator that works by element the parts that its output has."""
        output = next(output for output in node.outputs if output in self._parts)
        part = self._parts[output]
        for place, value in enumerate(node.inputs):
            if value is None:
                continue
            wanted: list[Interval | None] = [None] * len(self._whole[value])
            for axis, whence in enumerate(sources(node, value, output)):
                if whence is not None:
                    wanted[whence] = part[axis]
            if any(wanted):
                node.replace_input_with(place, self._cropped(value, tuple(wanted), node))

    def _select(self, node: ir.Node) -> None:
        """A Slice or Gather counts from where its input begins now, and its output may be read in part, too."""
        x, output = node.inputs[0], node.outputs[0]
        assert x is not None
        has, own = self._parts.get(x), self._parts.get(output)
        if has is None and own is None:
            return
        wanted = list(has or (None,) * len(self._whole[x]))
        for axis, whence in enumerate(sources(node, x, output)):
            if own is not None and whence is not None and own[axis] is not None:
                wanted[whence] = own[axis]
        selected = selection(node) or {}
        if is_operator(node, "Gather"):
            ((axis, _),) = selected.items()
            index = index_of(node)
            assert index is not None
            begin = (has[axis] if has is not None else None) or (0, 0)
            node.replace_input_with(0, self._cropped(x, tuple(wanted), node))
            node.replace_input_with(1, self._integers(f"{output.name}/index", index - begin[0]))
            return
        for axis, (first, behind) in selected.items():
            inner = own[axis] if own is not None else None
            wanted[axis] = (first, behind) if inner is None else (first + inner[0], first + inner[1])
        cropped = self._cropped(x, tuple(wanted), node)
        same = ir.Node("", "Identity", [cropped], outputs=[ir.Value(shape=output.shape, type=output.type)])
        self._graph.insert_before(node, same)
        ir.convenience.replace_all_uses_with(output, same.outputs[0], replace_graph_outputs=True)
        same.outputs[0].name, output.name = output.name, None
        self._whole[same.outputs[0]] = self._whole[output]
        if own is not None:
            self._parts[same.outputs[0]] = self._parts.pop(output)
        self._graph.remove(node, safe=True)

    def _cropped(self, value: ir.Value, part: Part, reader: ir.Node) -> ir.Value:
        """`part` of a value, of which the graph has what `_parts` says by now."""
        has = self._parts.get(value, (None,) * len(part))
        axes = [axis for axis, interval in enumerate(part) if interval is not None and interval != has[axis]]
        if not axes:
            return value
        if (value, part) not in self._slices:
            begins = [(has[axis] or (0, 0))[0] for axis in axes]
            wanted = [part[axis] or (0, 0) for axis in axes]
            name = self._names.give(f"{value.name}/cropped")
            bounds = [
                self._integers(
                    f"{name}/starts", np.array([w[0] - b for w, b in zip(wanted, begins, strict=True)])
                ),
                self._integers(
                    f"{name}/ends", np.array([w[1] - b for w, b in zip(wanted, begins, strict=True)])
                ),
                self._integers(f"{name}/axes", np.array(axes)),
            ]
            cropped = ir.Value(name=name, shape=value.shape, type=value.type)
            self._graph.insert_before(
                reader, ir.Node("", "Slice", [value, *bounds], outputs=[cropped], name=name)
            )
            _set_shape(cropped, part)
            self._slices[value, part] = cropped
        return self._slices[value, part]

    def _integers(self, name: str, values: npt.NDArray[np.int64]) -> ir.Value:
        name = self._names.give(name)
        tensor = ir.Tensor(np.asarray(values, dtype=np.int64), name=name)
        value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(value)
        return value


def _is_croppable(convolution: Convolution) -> bool:
    """Whether the shapes of a convolution are known, and its padding is none that crops."""
    output = convolution.node.outputs[0]
    known = output.shape is not None and all(size is not None for size in extents(output)[2:])
    return known and convolution.spec is not None and min(convolution.spec.pads) >= 0


def _set_shape(value: ir.Value, part: Part) -> None:
    assert value.shape is not None
    value.shape = ir.Shape(
        [
            size if interval is None else interval[1] - interval[0]
            for size, interval in zip(value.shape, part, strict=True)
        ]
    )
