"""Refines a plan whose whole model is not faster than all-direct, layer by layer.

A layer is measured alone, its input and output in the engine's order and its constants in the caches; within a model
neither holds. So a model of layers that each won may lose. Then layers go back to direct, the one that promised to
save the least first, and each step is timed against all-direct; the first model that is faster ships.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.planning.plan import LayerPlan, Plan, SpeedGate
from dashdeploy.export.planning.planner import Decisions

MOST_RACES = 8
"""Races at most; where there are more layers, several go back to direct at a time."""


def refine(
    decisions: Decisions, race: Callable[[Decisions], SpeedGate]
) -> tuple[Decisions, SpeedGate] | None:
    """The first decisions with fewer compiled layers whose model is faster than all-direct, and its race.

    Args:
        decisions: those whose model lost.
        race: times the model of some decisions against all-direct.

    Returns:
        None if none of them is faster.
    """
    for fewer in with_fewer_layers(decisions):
        gate = race(fewer)
        if gate.shipped == "compiled":
            return fewer, gate
    return None


def with_fewer_layers(decisions: Decisions) -> Iterator[Decisions]:
    """The decisions with fewer and fewer compiled layers, down to one."""
    names = sorted(decisions.lowerings, key=lambda name: _promise(decisions.plan, name))
    at_a_time = -(-max(len(names) - 1, 1) // MOST_RACES)
    for end in range(at_a_time, len(names) - 1 + at_a_time, at_a_time):
        reason = "{chosen} did not make the whole model faster"
        yield without_layers(decisions, names[: min(end, len(names) - 1)], reason)


def _promise(plan: Plan, name: str) -> float:
    """Milliseconds that a layer saves, as its candidates were costed alone; 0 where that is not known."""
    layer = next(layer for layer in plan.layers if layer.name == name)
    costs = {candidate.lowering: candidate.cost_ms for candidate in layer.candidates}
    direct, chosen = costs.get("direct"), costs.get(layer.chosen)
    return 0.0 if direct is None or chosen is None else direct - chosen


def without_layers(decisions: Decisions, names: Sequence[str], reason: str) -> Decisions:
    """The decisions with the layers `names` direct; the parts of a merged layer become direct ones of their own.

    Args:
        decisions: with these layers compiled.
        names: of compiled layers.
        reason: for the plan; ``{chosen}`` stands for the lowering that is left out.
    """
    dropped = set(names)
    parts = {part for layer in decisions.plan.layers if layer.name in dropped for part in layer.merges}

    def direct(layer: LayerPlan) -> LayerPlan:
        if layer.name not in dropped | parts:
            return layer
        left_out = reason.format(chosen=layer.chosen)
        return layer.model_copy(update={"chosen": "direct", "reason": left_out})

    layers = [
        direct(layer) for layer in decisions.plan.layers if not (layer.merges and layer.name in dropped)
    ]
    return Decisions(
        plan=decisions.plan.model_copy(update={"layers": layers}),
        lowerings={name: value for name, value in decisions.lowerings.items() if name not in dropped},
        fusion_groups=frozenset(decisions.fusion_groups - dropped),
    )


def with_lowering(decisions: Decisions, name: str, lowering: Lowering, reason: str) -> Decisions:
    """The decisions with another lowering of a compiled layer.

    Args:
        decisions: with this layer compiled.
        name: the layer's.
        lowering: one that is not direct.
        reason: for the plan.
    """
    layers = [
        layer.model_copy(update={"chosen": lowering.label, "reason": reason}) if layer.name == name else layer
        for layer in decisions.plan.layers
    ]
    return replace(
        decisions,
        plan=decisions.plan.model_copy(update={"layers": layers}),
        lowerings={**decisions.lowerings, name: lowering},
    )
