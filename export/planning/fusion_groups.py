"""Fusion groups: convolutions that read the same tensor and can be one convolution, exactly.

The branches of an Inception block read one tensor with kernels of different length. Padded with zero taps to a common
length and offset, they are one convolution with all their output channels. Direct, the zero taps would be computed;
in the FFT form a longer kernel costs next to nothing, the tiles are gathered and transformed once, and the products
of the spectra are wider. `planner` decides which groups are fused, `passes.horizontal_fusion` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashdeploy.export.frontend.convolutions import Convolution
from dashdeploy.export.frontend.graph_values import UnusedNames
from dashdeploy.export.lowerings.conv_spec import ConvSpec

_LONGEST_NAME = 24
"""Of joined names. An Inception block may have 62 branches."""


@dataclass(frozen=True)
class FusionGroup:
    """Convolutions that read the same tensor and fit into one.

    Attributes:
        members: in graph order, two or more.
        spec: the one convolution.
        name: the members' names, joined, or the first one and how many others where that is short; no layer's.
    """

    members: tuple[Convolution, ...]
    spec: ConvSpec
    name: str


def fusion_groups(convolutions: Sequence[Convolution]) -> list[FusionGroup]:
    """The groups of two or more convolutions that read the same tensor and fit into one."""
    by_input: dict[tuple[object, ...], list[Convolution]] = {}
    for convolution in convolutions:
        spec = convolution.spec
        if spec is not None and spec.groups == 1 and max(spec.kernel) > 1:
            phase = tuple(pad % d for pad, d in zip(spec.pads_begin, spec.dilations, strict=True))
            place = (
                id(convolution.node.graph),
                id(convolution.node.inputs[0]),
            )  # branches of an If do not run together
            key = (place, spec.strides, spec.dilations, spec.out_spatial, phase)
            by_input.setdefault((*key, spec.dtype), []).append(convolution)
    names = UnusedNames({convolution.name for convolution in convolutions})
    return [
        FusionGroup(tuple(members), _joint_spec(members), names.give(_joint_name(members)))
        for members in by_input.values()
        if len(members) > 1
    ]


def _joint_name(members: Sequence[Convolution]) -> str:
    joined = "+".join(member.name for member in members)
    return joined if len(joined) <= _LONGEST_NAME else f"{members[0].name}+{len(members) - 1}"


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
