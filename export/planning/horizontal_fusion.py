"""Parallel convolutions: those that read the same tensor can be one convolution, exactly.

The branches of an Inception block read one tensor with kernels of different length. Padded with zero taps to a common
length and offset, they are one convolution with all their output channels. Direct, the zero taps would be computed;
in the FFT form a longer kernel costs next to nothing, the tiles are gathered and transformed once, and the products
of the spectra are wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.convolutions import Convolution
from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.graph_writer import GraphWriter


@dataclass(frozen=True)
class ParallelGroup:
    """Convolutions that read the same tensor and fit into one.

    Attributes:
        members: in graph order, two or more.
        spec: the one convolution.
    """

    members: tuple[Convolution, ...]
    spec: ConvSpec

    @property
    def name(self) -> str:
        """The members' names, joined."""
        return "+".join(member.name for member in self.members)

    def weight(self) -> Weights:
        """[sum of out_channels, in_channels, *kernel]: the members' taps at their offsets, zeros elsewhere."""
        parts = []
        for member in self.members:
            assert member.spec is not None
            widths = [(0, 0), (0, 0)]
            for axis in range(self.spec.rank):
                first = (self.spec.pads_begin[axis] - member.spec.pads_begin[axis]) // self.spec.dilations[
                    axis
                ]
                widths.append((first, self.spec.kernel[axis] - first - member.spec.kernel[axis]))
            parts.append(np.pad(member.weight, widths))
        return np.concatenate(parts)

    def bias(self) -> Weights | None:
        """[sum of out_channels], or None if no member has one."""
        if not self.spec.bias:
            return None
        parts = []
        for member in self.members:
            assert member.spec is not None
            bias = member.bias
            parts.append(np.zeros(member.spec.out_channels, self.spec.dtype) if bias is None else bias)
        return np.concatenate(parts)


def parallel_groups(convolutions: Sequence[Convolution]) -> list[ParallelGroup]:
    """The groups of two or more convolutions that read the same tensor and fit into one."""
    by_input: dict[tuple[object, ...], list[Convolution]] = {}
    for convolution in convolutions:
        spec = convolution.spec
        if spec is not None and spec.groups == 1 and max(spec.kernel) > 1:
            phase = tuple(pad % d for pad, d in zip(spec.pads_begin, spec.dilations, strict=True))
            key = (id(convolution.node.inputs[0]), spec.strides, spec.dilations, spec.out_spatial, phase)
            by_input.setdefault((*key, spec.dtype), []).append(convolution)
    return [
        ParallelGroup(tuple(members), _joint_spec(members))
        for members in by_input.values()
        if len(members) > 1
    ]


def _joint_spec(members: Sequence[Convolution]) -> ConvSpec:
    specs = [member.spec for member in members if member.spec is not None]
    first = specs[0]
    axes = range(first.rank)
    begin = [max(spec.pads_begin[axis] for spec in specs) for axis in axes]
    kernel, end = [], []
    for axis in axes:
        d, s = first.dilations[axis], first.strides[axis]
        # Taps from the earliest member's first to the latest member's last.
        taps = max((begin[axis] - spec.pads_begin[axis]) // d + spec.kernel[axis] for spec in specs)
        kernel.append(taps)
        reach = s * (first.out_spatial[axis] - 1) + d * (taps - 1) + 1
        end.append(max(0, reach - begin[axis] - first.spatial[axis]))
    return first.model_copy(
        update={
            "out_channels": sum(spec.out_channels for spec in specs),
            "kernel": tuple(kernel),
            "pads_begin": tuple(begin),
            "pads_end": tuple(end),
            "bias": any(spec.bias for spec in specs),
        }
    )


def merge(graph: ir.Graph, group: ParallelGroup) -> None:
    """Replace the members by one Conv node and a Split; a Concat of just these outputs takes the Conv's instead."""
    nodes = [member.node for member in group.members]
    x = nodes[0].inputs[0]
    assert x is not None
    writer = GraphWriter(group.name)
    joint = Direct().write(writer, group.spec, x, group.weight(), group.bias())
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
    if not _concatenated_already(graph, outputs, joint):
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


def _concatenated_already(graph: ir.Graph, outputs: Sequence[ir.Value], joint: ir.Value) -> bool:
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
