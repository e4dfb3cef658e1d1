"""Element-wise operators between lowered convolutions work in the layout of these.

A lowered convolution reads and writes rows (positions first, channels last) between two transposes. What stands
between two of them (activations, residual sums, concatenations) gives the same in rows, and there needs no
transposes; some operators have another form there (`rows_operators`). An operator reads all its inputs and writes all
its outputs in one layout; a value that is produced in one layout and wanted in the other costs one transpose of its
elements. The layouts with the least to transpose are a minimum cut: rows on the source's side, channels first on the
sink's (two labels: Greig, Porteous and Seheult, "Exact Maximum A Posteriori Estimation for Binary Images", Journal of
the Royal Statistical Society B 51(2), 1989).

    channels -> Transpose -> rows: `into` = (2 .. r-1, 0, 1)          rows -> Transpose -> channels: its inverse
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, constant, graphs_of, value_names
from dashdeploy.export.passes.base import GraphPass
from dashdeploy.export.passes.rows_operators import (
    OTHER_IN_ROWS,
    RowsOperators,
    obstacle_in_rows,
    register,
)

ELEMENT_WISE = frozenset(
    {
        "Abs",
        "Add",
        "Celu",
        "Clip",
        "Div",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "ThresholdedRelu",
    }
)
"""Operators that compute each element of their output by the same elements of their inputs, with broadcasting."""

_MOVABLE = ELEMENT_WISE | {"Concat", "Slice", "Split"} | OTHER_IN_ROWS
_CHANNELS = 1
_FOREVER = 2**30
_WHOLE = 2**20
"""What all values together count, so that the sum of any sizes stays below `_FOREVER`."""


class AssignLayout(GraphPass):
    """Operators between lowered convolutions move into the layout of rows where that saves transposes.

    Needs: shapes were inferred; values of 3 or 4 axes whose sizes, the batch apart, are known. `unmatched` names the
    operators that read what a lowered convolution writes and stay channels first.
    """

    def rewrite(self, model: ir.Model) -> bool:
        """Assign the layouts of both ranks."""
        modified, names = False, UnusedNames(value_names(model.graph))
        for graph, rank in product(graphs_of(model), (3, 4)):
            assignment = _Assignment(graph, rank, names)
            modified = assignment.run() or modified
            for node, reason in assignment.stays.items():
                self.leave(node.name, reason)
        return modified


class _Assignment:
    """The layouts of the values of one rank.

    Args:
        graph: to be changed.
        rank: axes of the values, batch and channels included.
        names: names for new values.

    Attributes:
        stays: operators that read rows and are not moved, with the reason.
    """

    def __init__(self, graph: ir.Graph, rank: int, names: UnusedNames) -> None:
        self.stays: dict[ir.Node, str] = {}
        self._graph, self._rank = graph, rank
        self._into = (*range(2, rank), 0, 1)
        self._back = tuple(int(axis) for axis in np.argsort(self._into))
        self._names = names
        self._rows: dict[ir.Value, ir.Value] = {}

    def run(self) -> bool:
        """Choose the layouts and rewrite; returns whether anything was changed."""
        for node in self._graph:
            if self._is_transpose(node, self._back) and self._size(node.outputs[0]) is not None:
                self._know(node.inputs[0], node.outputs[0])
        if not self._rows:
            return False
        movable = []
        for node in self._graph:
            obstacle = self._obstacle(node)
            if obstacle is None:
                movable.append(node)
            elif self._reads_rows(node):
                self.stays[node] = obstacle
        chosen = self._cut(movable) if movable else set()
        modified = bool(chosen)
        for node in movable:
            if node in chosen:
                self._move(node)
            elif self._reads_rows(node):
                self.stays[node] = "in rows it would need as many transposes, or more"
        for node in self._graph:
            if self._is_transpose(node, self._into) and node.inputs[0] in self._rows:
                ir.convenience.replace_all_uses_with(node.outputs[0], self._rows[node.inputs[0]])
                modified = True
        return modified

    def _reads_rows(self, node: ir.Node) -> bool:
        """Whether the operator reads what is known in rows, and is none of the transposes between the layouts."""
        return any(value in self._rows for value in node.inputs) and not self._is_transpose(node, self._into)

    def _know(self, rows: ir.Value | None, value: ir.Value) -> None:
        """Remember that `rows` are `value` in rows, and say so by their shape."""
        if rows is not None:
            assert value.shape is not None
            rows.shape, rows.type = ir.Shape([value.shape[axis] for axis in self._into]), value.type
            self._rows[value] = rows

    def _is_transpose(self, node: ir.Node, perm: Sequence[int]) -> bool:
        order = node.attributes.get("perm")
        return node.op_type == "Transpose" and order is not None and tuple(order.as_ints()) == tuple(perm)

    def _obstacle(self, node: ir.Node) -> str | None:
        """Why the operator does not give the same in rows; None if it does: by element, or along the channels."""
        if node.domain not in ("", "ai.onnx") or node.op_type not in _MOVABLE:
            return f"{node.op_type} does not work by element"
        if node.op_type in OTHER_IN_ROWS and (obstacle := obstacle_in_rows(node, self._rank)) is not None:
            return obstacle
        if node.op_type in ("Concat", "Split"):
            axis = node.attributes.get("axis")
            if axis is None or axis.as_int() % self._rank != _CHANNELS:
                return f"{node.op_type} is not along the channels"
        if node.op_type == "Slice" and not self._slices_space(node):
            return "Slice is not along the space, or its bounds are not constant"
        whole = [value for value in node.inputs if value is not None and constant(value) is None]
        if not whole:
            return "all its inputs are constant"
        if any(self._size(value) is None for value in (*whole, *node.outputs)):
            return f"not all its inputs and outputs have {self._rank} axes of known sizes"
        if not all(self._can_turn(node, value) for value in node.inputs):
            return f"a constant has more than {self._rank} axes"
        return None

    def _can_turn(self, node: ir.Node, value: ir.Value | None) -> bool:
        """Whether an input has the rank of the values, or is a constant that can be brought to it."""
        tensor = constant(value)
        return tensor is None or len(tensor.shape) <= self._rank or node.op_type == "Split"

    def _slices_space(self, node: ir.Node) -> bool:
        """Whether a Slice is along the spatial axes, which it names, by constants."""
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
        if axes is None or any(value is not None and constant(value) is None for value in node.inputs[1:]):
            return False
        return all(int(axis) % self._rank > _CHANNELS for axis in axes.numpy().reshape(-1))

    def _size(self, value: ir.Value) -> int | None:
        """Elements per sample of a value of this rank; None for any other, or if they are not known."""
        if value.shape is None or len(value.shape) != self._rank:
            return None
        known = [axis for axis in value.shape[1:] if isinstance(axis, int)]
        return prod(known) if len(known) == self._rank - 1 else None

    def _cut(self, movable: Sequence[ir.Node]) -> set[ir.Node]:
        """The operators that work in rows."""
        rows_side, channels_side = 0, 1
        places: dict[ir.Node, int] = {node: 2 + number for number, node in enumerate(movable)}
        edges: dict[tuple[int, int], int] = {}
        fresh = 2 + len(movable)

        def place(node: ir.Node | None) -> int:
            return channels_side if node is None else places.get(node, channels_side)

        sizes = {value: self._size(value) or 1 for value in self._values(movable)}
        total = sum(sizes.values())
        for value, elements in sizes.items():
            size = 1 + elements * _WHOLE // total
            producer = rows_side if value in self._rows else place(value.producer())
            readers = {
                rows_side if self._is_transpose(node, self._into) else place(node) for node, _ in value.uses()
            }
            if value.is_graph_output():
                readers.add(channels_side)
            # Rows that somebody wants channels first cost one transpose, and the other way round.
            edges[producer, fresh] = edges[fresh + 1, producer] = size
            for reader in readers - {producer}:
                edges[fresh, reader] = edges[reader, fresh + 1] = _FOREVER
            fresh += 2
        edges = {
            edge: size for edge, size in edges.items() if edge[1] != rows_side and edge[0] != channels_side
        }
        # SciPy below 1.15 takes flows of 32-bit indices alone.
        starts, ends = np.array(list(edges), dtype=np.int32).T
        capacities = np.array(list(edges.values()), dtype=np.int32)
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow

        network = csr_array((capacities, (starts, ends)), shape=(fresh, fresh))
        flow = maximum_flow(network, rows_side, channels_side).flow
        residual = network - flow
        residual.data[residual.data < 0] = 0
        residual.eliminate_zeros()
        reached = set(breadth_first_order(residual, rows_side, return_predecessors=False).tolist())
        return {node for node, number in places.items() if number in reached}

    def _values(self, movable: Sequence[ir.Node]) -> Iterator[ir.Value]:
        """Everything that these operators read or write, each value once."""
        read = [value for node in movable for value in node.inputs if value is not None]
        written = [value for node in movable for value in node.outputs]
        yield from dict.fromkeys(v for v in (*read, *written) if constant(v) is None)

    def _move(self, node: ir.Node) -> None:
        """Write the operator again in rows, and what it writes channels first for those who want it so."""
        if node.op_type in OTHER_IN_ROWS:
            other = RowsOperators(self._graph, self._names, node)
            rows = self._in_rows(node, node.inputs[0])
            assert rows is not None
            self._replace(node, other.nodes, [other.write(rows)])
            return
        inputs = [self._in_rows(node, value) for value in node.inputs]
        attributes = [a for a in node.attributes.values() if a.name != "axis"]
        if len(attributes) < len(node.attributes):
            attributes.append(ir.AttrInt64("axis", self._rank - 1))
        outputs = [self._named(f"{value.name}/rows") for value in node.outputs]
        moved = ir.Node(node.domain, node.op_type, inputs, attributes, outputs=outputs, name=node.name)
        self._replace(node, [moved], outputs)

    def _replace(self, node: ir.Node, moved: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> None:
        """Put the nodes `moved` in the place of one, and transposes of their outputs behind them."""
        self._graph.insert_before(node, moved)
        for value, rows in zip(node.outputs, outputs, strict=True):
            back = ir.Value(name=value.name, shape=value.shape, type=value.type)
            name = self._names.give(f"{value.name}/to_channels")
            turned = ir.node("Transpose", [rows], {"perm": self._back}, outputs=[back], name=name)
            self._graph.insert_before(node, [turned])
            ir.convenience.replace_all_uses_with(value, back, replace_graph_outputs=True)
            value.name = None
            self._know(rows, back)
        self._graph.remove(node, safe=True)

    def _in_rows(self, node: ir.Node, value: ir.Value | None) -> ir.Value | None:
        """The input in rows: what was there before its transpose, a constant turned, or a new transpose."""
        tensor = constant(value)
        if value is None or value in self._rows:
            return None if value is None else self._rows[value]
        if tensor is not None:
            array = np.asarray(tensor.numpy())
            if node.op_type == "Slice":
                return self._turned_axes(node, value)
            if array.size == 1 or node.op_type == "Split":
                return value
            whole = array.reshape([1] * (self._rank - array.ndim) + list(array.shape))
            return self._constant(f"{value.name}/rows", whole.transpose(self._into))
        rows = self._named(f"{value.name}/to_rows")
        turned = ir.node("Transpose", [value], {"perm": self._into}, outputs=[rows], name=rows.name)
        producer = value.producer()
        # Before everybody who reads the value.
        if producer is None or producer.graph is not self._graph:
            self._graph.insert_before(self._graph[0], [turned])
        else:
            self._graph.insert_after(producer, [turned])
        self._know(rows, value)
        return rows

    def _turned_axes(self, node: ir.Node, value: ir.Value) -> ir.Value:
        """An input of a Slice in rows: its axes are others there."""
        if value is not node.inputs[3]:
            return value
        tensor = constant(value)
        assert tensor is not None
        axes = [self._into.index(int(axis) % self._rank) for axis in tensor.numpy().reshape(-1)]
        return self._constant(f"{value.name}/rows", np.array(axes))

    def _named(self, name: str) -> ir.Value:
        return ir.Value(name=self._names.give(name))

    def _constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        return register(self._graph, self._names, name, array)
