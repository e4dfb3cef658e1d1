"""Horizontal fusion: convolutions that read the same tensor become one convolution with all their output channels."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.passes.base import GraphPass
from dashdeploy.export.planning.fusion_groups import FusionGroup, fusion_groups


class HorizontalFusion(GraphPass):
    """Conv(x, v), Conv(x, w), ... becomes Split(Conv(x, [v; w; ...])), each weight padded with zero taps.

    A Concat of just these outputs, in their order, takes the one output instead of a Split. Needs: shapes were
    inferred. `unmatched` names the groups that are not in the graph.

    Args:
        groups: names of the fusion groups to fuse.
    """

    def __init__(self, groups: Collection[str]) -> None:
        super().__init__()
        self._groups = groups

    def rewrite(self, model: ir.Model) -> bool:
        """Fuse the groups that are named."""
        if not self._groups:
            return False
        found = {group.name: group for group in fusion_groups(find_convolutions(model))}
        for name in self._groups:
            if name not in found:
                self.leave(name, "no convolutions of these names read the same tensor and fit into one")
        chosen = [group for name, group in found.items() if name in self._groups]
        for group in chosen:
            graph = group.members[0].node.graph
            assert isinstance(graph, ir.Graph)
            _fuse(graph, group)
        return bool(chosen)


def _fuse(graph: ir.Graph, group: FusionGroup) -> None:
    """Replace the members by one Conv node, and by a Split where no Concat takes them as they are."""
    nodes = [member.node for member in group.members]
    x = nodes[0].inputs[0]
    assert x is not None
    writer = GraphWriter(group.name)
    joint = Direct().write(writer, group.spec, x, _joint_weight(group), _joint_bias(group))
    # Named like a layer's weight, so that the layer is called after its members.
    writer.initializers[0].name = f"{group.name}.weight"
    shape = nodes[0].outputs[0].shape
    batch = shape[0] if shape is not None else None
    joint.shape = ir.Shape([batch, group.spec.out_channels, *group.spec.out_spatial])
    joint.type = nodes[0].outputs[0].type
    for value in writer.initializers:
        graph.register_initializer(value)
    outputs = [node.outputs[0] for node in nodes]
    earliest = min(nodes, key=list(graph).index)
    graph.insert_before(earliest, writer.nodes)
    if not _replace_in_concat(graph, outputs, joint):
        sizes = [member.spec.out_channels for member in group.members if member.spec is not None]
        split_sizes = writer.integers("split.sizes", sizes)
        graph.register_initializer(split_sizes)
        parts = [
            ir.Value(name=output.name, shape=output.shape, type=output.type, metadata_props=None)
            for output in outputs
        ]
        for output in outputs:
            output.name = None
        split = ir.node("Split", [joint, split_sizes], {"axis": 1}, outputs=parts, name=f"{group.name}/split")
        graph.insert_before(earliest, [split])
        for output, part in zip(outputs, parts, strict=True):
            ir.convenience.replace_all_uses_with(output, part, replace_graph_outputs=True)
    graph.remove(nodes, safe=True)


def _joint_weight(group: FusionGroup) -> Weights:
    """[sum of out_channels, in_channels, *kernel]: the members' taps at their offsets, zeros elsewhere."""
    joint, parts = group.spec, []
    for member in group.members:
        assert member.spec is not None
        widths = [(0, 0), (0, 0)]
        for axis in range(joint.rank):
            first = (joint.pads_begin[axis] - member.spec.pads_begin[axis]) // joint.dilations[axis]
            widths.append((first, joint.kernel[axis] - first - member.spec.kernel[axis]))
        parts.append(np.pad(member.weight, widths))
    return np.concatenate(parts)


def _joint_bias(group: FusionGroup) -> Weights | None:
    """[sum of out_channels], or None if no member has one."""
    if not group.spec.bias:
        return None
    parts = []
    for member in group.members:
        assert member.spec is not None
        bias = member.bias
        parts.append(np.zeros(member.spec.out_channels, group.spec.dtype) if bias is None else bias)
    return np.concatenate(parts)


def _replace_in_concat(graph: ir.Graph, outputs: Sequence[ir.Value], joint: ir.Value) -> bool:
    """Put `joint` in the place of the outputs where one Concat reads all of them, in order, and nothing else does."""
    users = {user for output in outputs for user, _ in output.uses()}
    if len(users) != 1 or any(len(output.uses()) != 1 or output in graph.outputs for output in outputs):
        return False
    (concat,) = users
    axis = concat.attributes.get("axis")
    if concat.op_type != "Concat" or axis is None or axis.as_int() != 1:
        return False
    inputs = list(concat.inputs)
    start = inputs.index(outputs[0])
    if inputs[start : start + len(outputs)] != list(outputs):
        return False
    rest = [*inputs[:start], joint, *inputs[start + len(outputs) :]]
    replacement = ir.node(
        "Concat", rest, {"axis": 1}, outputs=[ir.Value(name=concat.outputs[0].name)], name=concat.name
    )
    new = replacement.outputs[0]
    new.shape, new.type = concat.outputs[0].shape, concat.outputs[0].type
    concat.outputs[0].name = None
    graph.insert_before(concat, [replacement])
    ir.convenience.replace_all_uses_with(concat.outputs[0], new, replace_graph_outputs=True)
    graph.remove(concat, safe=True)
    return True
