"""The speed gate: a compiled model is timed against the all-direct one before it ships.

One that loses is refined, where that is wanted: layers go back to direct until it wins. What never wins ships direct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from dashdeploy.export.planning.plan import SpeedGate, all_direct
from dashdeploy.export.planning.plan_refinement import refine
from dashdeploy.export.planning.planner import Decisions
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array, Call, Runtime, engine_clock
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.timing import Clock, interleaved, ratio_of

_SECONDS = 1.5

_CERTAIN = 0.01
"""By how much another plan is to be faster at least, within its interval: two loads of one file differ by as much."""


def pass_speed_gate(
    decisions: Decisions,
    direct: Runtime,
    compiled: Runtime,
    *,
    build: Callable[[Decisions], Runtime] | None = None,
    samples: Mapping[str, Array] | None = None,
    precision: str = "fp32",
    clock: Clock = engine_clock,
    progress: Progress = silent,
) -> Decisions:
    """Race the compiled model against the all-direct one.

    Args:
        decisions: those that the compiled model was written with.
        direct: the all-direct model.
        compiled: the compiled model.
        build: builds the model of other decisions, for a refinement; None takes all or nothing.
        samples: real inputs to run on; None or empty takes random ones.
        precision: of both models.
        clock: what times a call.
        progress: a function that gets a line for each step.

    Returns:
        What ships: the decisions themselves, some with fewer compiled layers, or none; the plan holds the race.
    """
    where = "" if precision == "fp32" else f", both in {precision}"
    progress(f"timing the compiled model against the all-direct one{where}")
    gate = race(direct, compiled, samples, clock)
    raced = _with_race(decisions, gate)
    if gate.shipped == "compiled":
        return raced
    lost = f"the compiled model is only {gate.speedup:.2f} times as fast"
    if build is None:
        progress(f"in {precision} {lost}: shipping all-direct")
        return _without_lowerings(raced, gate)
    progress(f"{lost}: trying fewer compiled layers")
    refined = refine(decisions, lambda fewer: race(direct, build(fewer), samples, clock))
    if refined is None:
        progress("no part of the plan makes the whole model faster: shipping all-direct")
        return _without_lowerings(raced, gate)
    fewer, gate = refined
    kept = ", ".join(fewer.lowerings)
    progress(f"with {kept} alone the model is {gate.speedup:.2f} times as fast: shipping that")
    return _with_race(fewer, gate)


def race(
    direct: Runtime,
    compiled: Runtime,
    samples: Mapping[str, Array] | None = None,
    clock: Clock = engine_clock,
) -> SpeedGate:
    """Time both models interleaved, batch 1; the compiled one ships if its median ratio is above 1.

    Args:
        direct: the all-direct model.
        compiled: the compiled model.
        samples: real inputs, of which the first is run; None or empty takes random ones.
        clock: what times a call.
    """
    feeds = ExampleInputs.to_time(direct, samples, batch=1)
    times = interleaved(
        {"direct": Call(direct, feeds), "compiled": Call(compiled, feeds)},
        seconds=_SECONDS,
        min_rounds=20,
        clock=clock,
    )
    speedup = ratio_of(times["direct"], times["compiled"])
    return SpeedGate(
        direct_ms=float(np.median(times["direct"])) * 1e3,
        compiled_ms=float(np.median(times["compiled"])) * 1e3,
        speedup=speedup.median,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        shipped="compiled" if speedup.median > 1 else "direct",
    )


def fastest_of(
    first: Runtime,
    others: Mapping[str, Runtime],
    samples: Mapping[str, Array] | None = None,
    clock: Clock = engine_clock,
) -> str | None:
    """The name of the model that is faster than the first one and than all others, batch 1; None if none is.

    Args:
        first: the model that is kept where nothing is certain.
        others: models of the same network, by name.
        samples: real inputs, of which the first is run; None or empty takes random ones.
        clock: what times a call.
    """
    feeds = ExampleInputs.to_time(first, samples, batch=1)
    calls = {"": Call(first, feeds)} | {name: Call(model, feeds) for name, model in others.items()}
    times = interleaved(calls, seconds=_SECONDS, min_rounds=20, clock=clock)
    speedups = {name: ratio_of(times[""], times[name]) for name in others}
    faster = {name: ratio.median for name, ratio in speedups.items() if ratio.low > 1 + _CERTAIN}
    return max(faster, key=lambda name: faster[name], default=None)


def _with_race(decisions: Decisions, gate: SpeedGate) -> Decisions:
    return replace(decisions, plan=decisions.plan.model_copy(update={"speed": gate}))


def _without_lowerings(decisions: Decisions, gate: SpeedGate) -> Decisions:
    return Decisions(plan=all_direct(decisions.plan, gate.speedup), lowerings={})
