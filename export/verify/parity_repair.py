"""Repairs a plan whose model does not agree with the reference, layer by layer, until it does.

The layer that contributes most is computed more exactly: by another candidate with less than half its error that is
still faster than direct, where one was measured, else direct. What a layer contributes is the error of the model with
that layer alone compiled. One that is far beyond rounding is a fault and no matter of precision: progress says so,
and the plan has the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dashdeploy.export.lowerings.registry import lowering_of
from dashdeploy.export.planning.plan import Candidate
from dashdeploy.export.planning.plan_refinement import with_lowering, without_layers
from dashdeploy.export.planning.planner import WORTHWHILE, Decisions
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.progress import Progress, silent

_REASON = "{chosen} is left out for the model's parity, to whose error it contributed most"

_BEYOND_ROUNDING = 1e-2
"""From which error in float32 a layer is wrong, and not merely rounded."""


def repair(
    decisions: Decisions,
    parity: Parity,
    measure: Callable[[Decisions], Parity],
    progress: Progress = silent,
) -> tuple[Decisions, Parity]:
    """The decisions with as many compiled layers as parity admits.

    Args:
        decisions: those whose model fails.
        parity: how it does.
        measure: builds the model of some decisions and compares it with the reference.
        progress: a function that gets a line for each step.

    Returns:
        The decisions and their parity, which fails only where that of the all-direct model does.
    """
    nothing = without_layers(decisions, list(decisions.lowerings), _REASON)
    bare = measure(nothing)
    if bare.failed or not decisions.lowerings:
        return nothing, bare
    progress(
        f"the compiled model differs by {parity.worst:.1e}: looking for the layers that contribute most to it"
    )
    contributions = {
        name: measure(
            without_layers(decisions, [other for other in decisions.lowerings if other != name], _REASON)
        )
        for name in decisions.lowerings
    }
    worst_first = sorted(contributions, key=lambda name: contributions[name].strain, reverse=True)
    errors = {name: contributions[name].worst for name in worst_first}
    for name in worst_first:
        if errors[name] > _BEYOND_ROUNDING:
            progress(
                f"warning: with {name} alone computed by {decisions.lowerings[name].label} the model differs by "
                f"{errors[name]:.1e}, which is more than rounding: the lowering or the engine is wrong there; "
                "please report it with the model"
            )
    for step in _steps(decisions, errors):
        parity = measure(step)
        if not parity.failed:
            progress(f"parity holds with {_difference(decisions, step)}")
            return step, parity
    return nothing, bare


def _steps(decisions: Decisions, errors: Mapping[str, float]) -> Iterator[Decisions]:
    """More and more exact decisions: a layer by a more exact candidate, then direct; several at a time later on.

    Args:
        decisions: to begin with.
        errors: of the model with one layer alone compiled, by layer, the one that contributes most first.
    """
    worst_first = list(errors)
    exact, dropped, at_a_time = decisions, 0, 1
    while dropped < len(worst_first):
        names = worst_first[dropped : dropped + at_a_time]
        more = exact
        for name in names:
            more = _more_exact(more, name) or more
        if more is not exact:
            yield more
        for name in names:
            exact = without_layers(exact, [name], f"{_REASON}: {errors[name]:.1e} alone")
        yield exact
        dropped += len(names)
        at_a_time = max(1, dropped // 2)


def _more_exact(decisions: Decisions, name: str) -> Decisions | None:
    """The decisions with a more exact candidate of a layer that is still faster than direct, if there is one."""
    layer = next(layer for layer in decisions.plan.layers if layer.name == name)
    known = {candidate.lowering: candidate for candidate in layer.candidates}
    chosen, direct = known[layer.chosen], known.get("direct")
    if not chosen.error or direct is None or direct.cost_ms is None or layer.spec is None:
        return None  # nothing was measured
    rivals = [
        candidate
        for candidate in layer.candidates
        if candidate.lowering != "direct"
        and candidate.refused is None
        and _is_better(candidate, chosen.error, direct.cost_ms / WORTHWHILE)
    ]
    if not rivals:
        return None
    best = min(rivals, key=lambda candidate: candidate.cost_ms or 0.0)
    lowering = lowering_of(layer.spec, best.lowering)
    if lowering is None:
        return None
    reason = f"{layer.chosen} is quicker, but contributed most to the error of the whole model"
    return with_lowering(decisions, name, lowering, reason)


def _is_better(candidate: Candidate, error: float, most_ms: float) -> bool:
    """Whether a candidate has less than half the error and is fast enough."""
    return (
        candidate.error is not None
        and candidate.cost_ms is not None
        and candidate.error < error / 2
        and candidate.cost_ms <= most_ms
    )


def _difference(before: Decisions, after: Decisions) -> str:
    direct = [name for name in before.lowerings if name not in after.lowerings]
    other = [
        f"{name} by {lowering.label}"
        for name, lowering in after.lowerings.items()
        if before.lowerings.get(name) != lowering
    ]
    return ", ".join([f"{name} direct" for name in direct] + other)
