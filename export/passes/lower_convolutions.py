"""Rewrites a model according to the lowerings that were chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from dashdeploy.export.frontend.convolutions import Convolution, find_convolutions
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.passes.layout_assignment import share_rows
from dashdeploy.export.passes.names import value_names
from dashdeploy.export.planning.horizontal_fusion import merge, parallel_groups


def compile_model(
    model: ir.Model, lowerings: Mapping[str, Lowering], merged: Collection[str] = ()
) -> ir.Model:
    """A copy of `model` in which the named convolutions are computed by their lowerings.

    Args:
        model: a model whose shapes were inferred; it is not changed.
        lowerings: by layer name; layers that are not named stay as they are.
        merged: names of the groups of parallel convolutions that become one layer each.
    """
    compiled = model.clone()
    for group in parallel_groups(find_convolutions(compiled)):
        if group.name in merged:
            merge(compiled.graph, group)
    taken = value_names(compiled.graph)
    for convolution in find_convolutions(compiled):
        lowering = lowerings.get(convolution.name)
        if lowering is not None:
            _replace(compiled.graph, convolution, lowering, taken)
    share_rows(compiled.graph)
    RemoveUnusedNodesPass()(compiled)
    return compiled


def _replace(graph: ir.Graph, convolution: Convolution, lowering: Lowering, taken: set[str]) -> None:
    node, spec = convolution.node, convolution.spec
    x, old = node.inputs[0], node.outputs[0]
    assert spec is not None
    assert x is not None
    prefix = convolution.name
    while True:
        writer = GraphWriter(prefix)
        new = lowering.write(writer, spec, x, convolution.weight, convolution.bias)
        if taken.isdisjoint(writer.names):
            break
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
