"""Writes ONNX nodes whose names begin with the layer they belong to, so that a profile names our layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.tape import Tape

Attribute = int | float | str | Sequence[int]

TAPS, PRODUCT = "taps", "product"
"""How the names of what transforms the taps of a layer, and of the products with them, begin within the layer."""


class GraphWriter:
    """Collects the nodes and initializers of one layer, on a tape; the tape itself gives no names.

    Args:
        layer: the layer's name, the beginning of every name written.
    """

    def __init__(self, layer: str) -> None:
        self._layer = layer
        self._names: dict[str, int] = {}
        self._tape = Tape()

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """The nodes that were written, in order."""
        return self._tape.nodes

    @property
    def initializers(self) -> Sequence[ir.Value]:
        """The constants that were written, in order."""
        return self._tape.initializers

    @property
    def names(self) -> set[str]:
        """The names of all values that were written."""
        return {str(value.name) for node in self.nodes for value in node.outputs} | {
            str(value.name) for value in self.initializers
        }

    def op(self, op_type: str, name: str, *inputs: ir.Value, **attributes: Attribute) -> ir.Value:
        """Append a node and return its one output."""
        unique = self._unique(name)
        return self._tape.op(op_type, inputs, attributes or None, name=unique, output=ir.Value(name=unique))

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Add `array` as an initializer."""
        return self._tape.initializer(ir.Tensor(np.ascontiguousarray(array), name=self._unique(name)))

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


def place_within(node: str, layers: Collection[str]) -> str | None:
    """What follows the layer's name in a node's name: ``product_1_0``; None if no layer wrote the node."""
    layer = layer_of(node, layers)
    return None if layer is None else node[len(layer) :].lstrip("'")[1:]


def layer_of(node: str, layers: Collection[str]) -> str | None:
    """The layer that wrote a node: its name, maybe with apostrophes, is the beginning of the node's."""
    for layer in sorted(layers, key=len, reverse=True):
        if node.startswith(layer) and node[len(layer) :].lstrip("'").startswith("/"):
            return layer
    return None
