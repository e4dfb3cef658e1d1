"""Operators whose form in rows (positions first, channels last) is other operators than channels first.

    BatchNormalization    a product and a sum with constants that repeat for many rows
    Conv of one tap       Gemm, since the channels of all positions are the rows of a matrix
    MaxPool on one axis   a pool on two axes, of which the second has all numbers of a position

A convolution of one tap between lowered layers would otherwise need transposes, and pools along the last axis take
numbers one at a time: 252 us where the pool in rows takes 68 (128 channels, 1000 positions, width 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, constant
from dashdeploy.export.lowerings.writers.rows_writer import rows_together
from dashdeploy.export.passes.fold_batch_norm import norm_as_factor

OTHER_IN_ROWS = frozenset({"BatchNormalization", "Conv", "MaxPool"})


def obstacle_in_rows(node: ir.Node, rank: int) -> str | None:
    """Why an operator of `OTHER_IN_ROWS` has no form in rows; None if it has one.

    Args:
        node: the operator.
        rank: axes of its input, batch and channels included.
    """
    if node.op_type == "BatchNormalization":
        known = norm_as_factor(node) is not None
        return (
            None
            if known
            else "BatchNormalization is in training mode, or its parameters are not constants in float32"
        )
    if node.op_type == "Conv":
        return (
            None if _is_pointwise(node, rank) else "Conv has more than one tap, a stride, padding or groups"
        )
    return (
        None
        if _is_plain_pool(node, rank)
        else "MaxPool is not on one axis, or gives more than the largest values"
    )


class RowsOperators:
    """Writes the form in rows of one operator.

    Args:
        graph: where constants go.
        names: names for new values.
        node: the operator, which has no `obstacle_in_rows`.

    Attributes:
        nodes: what was written.
    """

    def __init__(self, graph: ir.Graph, names: UnusedNames, node: ir.Node) -> None:
        self.nodes: list[ir.Node] = []
        self._graph, self._names, self._node = graph, names, node
        x, y = node.inputs[0], node.outputs[0]
        assert x is not None
        self._prefix = str(y.name)
        self._space, self._channels = _sizes(x)
        self._out_space, self._out_channels = _sizes(y)

    def write(self, rows: ir.Value) -> ir.Value:
        """The output in rows, of the input in rows."""
        forms = {"BatchNormalization": self._norm, "Conv": self._pointwise, "MaxPool": self._pool}
        return forms[self._node.op_type](rows)

    def _norm(self, rows: ir.Value) -> ir.Value:
        known = norm_as_factor(self._node)
        assert known is not None
        channels, positions = self._channels, prod(self._space)
        together = rows_together(positions, channels)
        shape = self._constant("repeated", np.array([1, together, 1, channels]))
        rows = self._reshape("tall", rows, (positions // together, together, -1, channels))
        for op_type, table in zip(("Mul", "Add"), known, strict=True):
            kind = op_type.lower()
            values = self._constant(f"{kind}_by", table.reshape(1, 1, 1, -1))
            if together > 1:
                values = self._op("Expand", f"{kind}_rows", values, shape)
            rows = self._op(op_type, kind, rows, values)
        return self._reshape("rows", rows, (*self._space, -1, channels))

    def _pointwise(self, rows: ir.Value) -> ir.Value:
        weight, *bias = [constant(value) for value in self._node.inputs[1:] if value is not None]
        assert weight is not None
        taps = np.asarray(weight.numpy()).reshape(self._out_channels, self._channels)
        flat = self._reshape("flat", rows, (-1, self._channels))
        inputs = [flat, self._constant("taps", taps.T)]
        inputs += [self._constant("bias", np.asarray(each.numpy())) for each in bias if each is not None]
        y = self._op("Gemm", "gemm", *inputs)
        return self._reshape("rows", y, (*self._out_space, -1, self._out_channels))

    def _pool(self, rows: ir.Value) -> ir.Value:
        attributes = self._node.attributes
        plane = self._reshape("plane", rows, (1, 1, *self._space, -1))
        begin, end = _integers(self._node, "pads", (0, 0))
        wide = [
            ir.AttrInt64s("kernel_shape", (*attributes["kernel_shape"].as_ints(), 1)),
            ir.AttrInt64s("strides", (*_integers(self._node, "strides", (1,)), 1)),
            ir.AttrInt64s("pads", (begin, 0, end, 0)),
        ]
        if "ceil_mode" in attributes:
            wide.append(ir.AttrInt64("ceil_mode", attributes["ceil_mode"].as_int()))
        y = self._op("MaxPool", "pool", plane, attributes=wide)
        return self._reshape("rows", y, (*self._out_space, -1, self._channels))

    def _op(self, op_type: str, name: str, *inputs: ir.Value, attributes: Sequence[ir.Attr] = ()) -> ir.Value:
        output = ir.Value(name=self._names.give(f"{self._prefix}/{name}"))
        self.nodes.append(ir.Node("", op_type, list(inputs), attributes, outputs=[output], name=output.name))
        return output

    def _reshape(self, name: str, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        return self._op("Reshape", name, value, self._constant(f"{name}.shape", np.array(shape)))

    def _constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        return register(self._graph, self._names, f"{self._prefix}/{name}", array)


def register(graph: ir.Graph, names: UnusedNames, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
    """A new initializer of a graph.

    Args:
        graph: where it goes.
        names: names for new values.
        name: what it is called, if that name is free.
        array: what it holds.
    """
    value = ir.Value(name=names.give(name))
    tensor = ir.Tensor(np.ascontiguousarray(array), name=value.name)
    value.shape, value.type, value.const_value = tensor.shape, ir.TensorType(tensor.dtype), tensor
    graph.register_initializer(value)
    return value


def _is_pointwise(node: ir.Node, rank: int) -> bool:
    weight = constant(node.inputs[1])
    if weight is None or any(value is not None and constant(value) is None for value in node.inputs[1:]):
        return False
    taps = weight.numpy()
    if taps.ndim != rank or taps.dtype not in (np.float32, np.float64) or prod(taps.shape[2:]) != 1:
        return False
    axes, group = rank - 2, node.attributes.get("group")
    return (
        _explicit(node)
        and (group is None or group.as_int() == 1)
        and not any(_integers(node, "pads", (0,) * 2 * axes))
        and all(stride == 1 for stride in _integers(node, "strides", (1,) * axes))
    )


def _is_plain_pool(node: ir.Node, rank: int) -> bool:
    return (
        rank == 3
        and len(node.outputs) == 1  # the second one has the places of the largest values
        and _explicit(node)
        and all(step == 1 for step in _integers(node, "dilations", (1,)))
    )


def _explicit(node: ir.Node) -> bool:
    mode = node.attributes.get("auto_pad")
    return mode is None or mode.as_string() in ("NOTSET", "VALID")


def _integers(node: ir.Node, name: str, default: Sequence[int]) -> Sequence[int]:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_ints()


def _sizes(value: ir.Value) -> tuple[list[int], int]:
    """Extents along the space, and channels."""
    assert value.shape is not None
    _, channels, *space = value.shape
    return [int(size) for size in space if isinstance(size, int)], int(str(channels))
