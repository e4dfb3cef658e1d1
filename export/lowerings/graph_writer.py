"""Writes ONNX nodes whose names begin with the layer they belong to, so that a profile names our layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Attribute = int | float | str | Sequence[int]


class GraphWriter:
    """Collects the nodes and initializers of one layer.

    Args:
        layer: the layer's name, the beginning of every name written.
    """

    def __init__(self, layer: str) -> None:
        self._layer = layer
        self._names: dict[str, int] = {}
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []

    @property
    def names(self) -> set[str]:
        """The names of all values that were written."""
        return {str(value.name) for node in self.nodes for value in node.outputs} | {
            str(value.name) for value in self.initializers
        }

    def op(self, op_type: str, name: str, *inputs: ir.Value, **attributes: Attribute) -> ir.Value:
        """Append a node and return its one output."""
        unique = self._unique(name)
        output = ir.Value(name=unique)
        self.nodes.append(ir.node(op_type, list(inputs), attributes or None, outputs=[output], name=unique))
        return output

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Add `array` as an initializer."""
        unique = self._unique(name)
        tensor = ir.Tensor(np.ascontiguousarray(array), name=unique)
        value = ir.Value(
            name=unique, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self.initializers.append(value)
        return value

    def integers(self, name: str, values: Sequence[int]) -> ir.Value:
        """Add a one-dimensional int64 initializer."""
        return self.constant(name, np.asarray(values, dtype=np.int64))

    def reshape(self, name: str, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        """Append a Reshape; one entry may be -1."""
        return self.op("Reshape", name, value, self.integers(f"{name}.shape", shape))

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return f"{self._layer}/{name}" if count == 0 else f"{self._layer}/{name}.{count}"
