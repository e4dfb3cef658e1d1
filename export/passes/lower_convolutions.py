"""Writes convolutions in the operators of the lowerings that were chosen for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from dashdeploy.export.frontend.convolutions import Convolution, find_convolutions
from dashdeploy.export.frontend.graph_values import value_names
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.passes.base import GraphPass


class LowerConvolutions(GraphPass):
    """Conv becomes the operators of its lowering, which are named after the layer.

    Needs: shapes were inferred. Outputs of the graph keep their names. `unmatched` names the layers that have a
    lowering and cannot be written.

    Args:
        lowerings: by layer name; layers that are not named stay as they are.
    """

    def __init__(self, lowerings: Mapping[str, Lowering]) -> None:
        super().__init__()
        self._lowerings = lowerings

    def rewrite(self, model: ir.Model) -> bool:
        """Lower the convolutions that are named."""
        modified, taken = False, value_names(model.graph)
        missing = dict.fromkeys(self._lowerings, "no convolution has this name")
        for convolution in find_convolutions(model):
            lowering = self._lowerings.get(convolution.name)
            if lowering is None:
                continue
            if convolution.spec is None:
                missing[convolution.name] = str(convolution.obstacle)
                continue
            del missing[convolution.name]
            _replace(convolution, lowering, taken)
            modified = True
        for name, reason in missing.items():
            self.leave(name, reason)
        return modified


def _replace(convolution: Convolution, lowering: Lowering, taken: set[str]) -> None:
    node, spec = convolution.node, convolution.spec
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    x, old = node.inputs[0], node.outputs[0]
    assert spec is not None
    assert x is not None
    prefix = convolution.name
    while True:
        writer = GraphWriter(prefix)
        new = lowering.write(writer, spec, x, convolution.weight, convolution.bias)
        if taken.isdisjoint(writer.names):
            break
        for written in writer.nodes:  # else they would still count as readers of the input
            for index in range(len(written.inputs)):
                written.replace_input_with(index, None)
        prefix += "'"  # the model has values that are named as ours would be
    taken |= writer.names
    new.shape, new.type = old.shape, old.type
    for value in writer.initializers:
        graph.register_initializer(value)
    graph.insert_before(node, writer.nodes)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    _keep_output_name(graph.outputs, old, new)
    graph.remove(node, safe=True)


def _keep_output_name(outputs: Sequence[ir.Value], old: ir.Value, new: ir.Value) -> None:
    """A graph output keeps the name that the model's users know."""
    if any(output is new for output in outputs):
        name, old.name = old.name, None
        new.name = name
