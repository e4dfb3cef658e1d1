"""Shares constants among compiled layers: layers of one shape have equal matrices and tables of rows."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import graphs_of
from dashdeploy.export.lowerings.graph_writer import layer_of
from dashdeploy.export.passes.base import GraphPass


class ShareConstants(GraphPass):
    """Equal constants that dashdeploy wrote become one, the first in each graph; those of the model stay.

    Args:
        layers: names of the layers that dashdeploy wrote.
    """

    def __init__(self, layers: Collection[str]) -> None:
        super().__init__()
        self._layers = layers

    def rewrite(self, model: ir.Model) -> bool:
        """Let everybody read the first one of equal constants."""
        modified = False
        for graph in graphs_of(model):
            first: dict[tuple[ir.DataType, tuple[int, ...], bytes], ir.Value] = {}
            for name, value in list(graph.initializers.items()):
                tensor = value.const_value
                if tensor is None or layer_of(name, self._layers) is None:
                    continue
                key = (tensor.dtype, tuple(tensor.shape.numpy()), tensor.tobytes())
                kept = first.setdefault(key, value)
                if kept is not value:
                    ir.convenience.replace_all_uses_with(value, kept)
                    del graph.initializers[name]
                    modified = True
        return modified
