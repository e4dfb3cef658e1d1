"""Chooses a native kernel for every convolution, and which of those that read the same value become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dashdeploy.export.frontend.convolutions import Convolution
from dashdeploy.export.native.candidates import MOST_PACKED, packed_floats, refuses, tap_floats
from dashdeploy.export.native.layer_costs import BestKernel, LayerCosts
from dashdeploy.export.passes.native_fusion import NativeChoice
from dashdeploy.export.planning.fusion_groups import fusion_groups
from dashdeploy.export.settings import ExportSettings
from dashdeploy.progress import Progress
from dashdeploy.runtimes.native.graph_file import NativeLayer


@dataclass(frozen=True)
class NativePlan:
    """How every convolution is computed.

    Attributes:
        choices: by layer; what no native kernel computes is left out.
        fusion_groups: names of the groups of convolutions that become one layer each.
        layers: for people.
    """

    choices: Mapping[str, NativeChoice]
    fusion_groups: frozenset[str]
    layers: list[NativeLayer]


def plan_native(
    convolutions: Sequence[Convolution], settings: ExportSettings, progress: Progress
) -> NativePlan:
    """Choose for every convolution.

    Args:
        convolutions: of the all-direct model.
        settings: the user's wishes: `lowering`, `tune`, `batch` and `threads` count.
        progress: told of each measurement before it starts.
    """
    costs = LayerCosts(settings, progress)
    best: dict[str, BestKernel] = {}
    layers: dict[str, NativeLayer] = {}
    for number, convolution in enumerate(convolutions, start=1):
        name = convolution.name
        reason = convolution.obstacle if convolution.spec is None else refuses(convolution.spec)
        if convolution.spec is None or reason is not None:
            layers[name] = NativeLayer(name=name, chosen=f"ONNX Runtime: {reason}")
        else:
            best[name] = costs.best(convolution.spec, f"{name} ({number} of {len(convolutions)})")
            layers[name] = best[name].layer(name)
    fused = set()
    for group in fusion_groups(convolutions):
        members = {member.name: member.spec for member in group.members if member.spec is not None}
        if refuses(group.spec) or not all(name in best for name in members):
            continue
        # Zero taps are computed, too, by direct kernels; an input is gathered once, and outputs fill the vectors.
        if costs.seconds(group.spec, group.name) >= sum(
            costs.seconds(spec, name) for name, spec in members.items()
        ):
            continue
        fused.add(group.name)
        for name in members:
            del best[name]
            layers[name] = NativeLayer(name=name, chosen=f"part of {group.name}")
        best[group.name] = costs.best(group.spec, group.name)
        layers[group.name] = best[group.name].layer(group.name)
    for name in _too_fat(best):
        best[name] = replace(best[name], choice=best[name].lean)
        layers[name] = best[name].layer(name)
    choices = {name: each.choice for name, each in best.items()}
    return NativePlan(choices, frozenset(fused), list(layers.values()))


def _too_fat(best: Mapping[str, BestKernel]) -> list[str]:
    """Layers whose packed taps have to shrink for the network's to be within `MOST_PACKED` times its taps."""
    taps = sum(tap_floats(each.spec) for each in best.values())
    packed = sum(packed_floats(each.spec, each.choice) for each in best.values())
    fat = sorted(
        (name for name, each in best.items() if each.choice != each.lean), key=lambda name: best[name].loss()
    )
    found = []
    for name in fat:
        if packed <= MOST_PACKED * taps:
            break
        found.append(name)
        packed -= packed_floats(best[name].spec, best[name].choice) - packed_floats(
            best[name].spec, best[name].lean
        )
    return found
