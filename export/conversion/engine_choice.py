"""`target=auto`: compiles a model for several engines of this machine and ships the fastest.

Every engine has its own measured plan, its own parity check and its own speed gate. Then the models that came through
are timed in common interleaved rounds, each in its engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dashdeploy.errors import DashdeployError, GateError, InputError
from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.planning.plan import EngineCost
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Call, Runtime, engine_clock
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.timing import Seconds, interleaved, percentiles

_SECONDS_PER_ENGINE = 1.5

NOT_TRIED_UNASKED = (TargetName.ORT_WEB, TargetName.AOTI, TargetName.EXECUTORCH)
"""Engines for other places than this machine, and those whose compiler takes minutes over a plan."""

Compile = Callable[[ExportSettings], tuple[Target, Compiled]]


def choose_engine(
    settings: ExportSettings, compile_for: Compile, source: Source, *, progress: Progress = silent
) -> tuple[ExportSettings, Compiled]:
    """Compile for each engine and keep the fastest model; its plan says what the others took, or why they are out.

    Args:
        settings: with ``target=auto``; its engines, or those that are installed if it names none.
        compile_for: compiles and checks the model for the target of the settings that it is given.
        source: what is compiled, for its samples.
        progress: a function that gets a line for each step.

    Returns:
        The settings with the engine that was chosen, and the compiled model.

    Raises:
        InputError: an engine that is named is none of this machine's CPU.
        GateError: no engine came through.
    """
    found: dict[TargetName, tuple[Target, Compiled, Runtime]] = {}
    refused: dict[TargetName, str] = {}
    for name in _engines(settings):
        progress(f"{name}: compiling for it")
        try:
            target, compiled = compile_for(settings.model_copy(update={"target": name, "engines": ()}))
            found[name] = target, compiled, target.load(serialized(compiled.model))
        except DashdeployError as error:
            refused[name] = str(error)
            progress(f"{name} is out: {error}")
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise GateError(f"no engine runs the model and agrees with the reference: {reasons}")
    times = _times({name: runtime for name, (_, _, runtime) in found.items()}, source, settings.batch)
    medians = {name: 1e3 * percentiles(seconds, (50,))[0] for name, seconds in times.items()}
    best = min(medians, key=lambda name: medians[name])
    progress(f"{best} is the fastest: {', '.join(f'{name} {ms:.3f} ms' for name, ms in medians.items())}")
    costs = [
        EngineCost(
            target=str(name),
            device=target.describe(),
            ms=medians[name],
            reason=_reason(name, best, medians, compiled),
        )
        for name, (target, compiled, _) in found.items()
    ]
    costs += [
        EngineCost(target=str(name), device="", ms=None, reason=reason) for name, reason in refused.items()
    ]
    _, compiled, _ = found[best]
    plan = compiled.decisions.plan.model_copy(update={"engines": costs})
    chosen = settings.model_copy(update={"target": best, "engines": ()})
    return chosen, replace(compiled, decisions=replace(compiled.decisions, plan=plan))


def _engines(settings: ExportSettings) -> list[TargetName]:
    known = [name for name in TargetName if name in ONNX_ENGINES]
    for name in settings.engines:
        if name not in known:
            raise InputError(
                f"`engines={name}`: no engine of this machine's CPU; choose from {', '.join(known)}"
            )
    if settings.engines:
        return list(dict.fromkeys(TargetName(name) for name in settings.engines))
    return [name for name in known if name not in NOT_TRIED_UNASKED and ONNX_ENGINES[name].missing() is None]


def _times(runtimes: dict[TargetName, Runtime], source: Source, batch: int) -> dict[TargetName, Seconds]:
    feeds = ExampleInputs.to_time(next(iter(runtimes.values())), source.samples, batch)
    times = interleaved(
        {str(name): Call(runtime, feeds) for name, runtime in runtimes.items()},
        seconds=_SECONDS_PER_ENGINE * len(runtimes),
        min_rounds=20,
        settle=True,
        clock=engine_clock,
    )
    return {name: times[str(name)] for name in runtimes}


def _reason(name: TargetName, best: TargetName, medians: dict[TargetName, float], compiled: Compiled) -> str:
    speed = compiled.decisions.plan.speed
    form = "" if speed is None else f", {speed.shipped} ({speed.speedup:.2f} times as fast as direct there)"
    if name == best:
        return f"the fastest here{form}"
    return f"takes {medians[name] / medians[best]:.2f} times as long as {best}{form}"
