"""How fast a bundle's compiled model is beside the searched-direct network and the original backbone.

All variants are loaded at once and timed in interleaved rounds (see `timing`). The searched-direct network,
or the compiled one where there is none, runs twice per round: the two series should have the same times, and
how far they do not is the noise of this machine during this measurement.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from dashdeploy.bench.latency_report import BatchNoise, LatencyReport, LatencyRow, Speedup
from dashdeploy.bundle import BACKBONE_NAME, DIRECT_NAME, MODEL_NAME, Bundle
from dashdeploy.errors import InputError
from dashdeploy.machine import describe_machine
from dashdeploy.runtimes import OnnxRuntime, OpenVino, Runtime
from dashdeploy.timing import Seconds, interleaved, percentiles, ratio_of

_FILES = {"backbone": BACKBONE_NAME, "direct": DIRECT_NAME, "compiled": MODEL_NAME}
ENGINES: Mapping[str, type[OnnxRuntime] | type[OpenVino]] = {"ort-cpu": OnnxRuntime, "openvino": OpenVino}
"""The engines that can time a bundle here, by the target's name."""

_CONTROL = "control"
_MIN_ROUNDS = 7
_MOST_WARMUP_SECONDS = 1.0
_SEED = 0


def measure_latency(
    bundle: Bundle,
    *,
    batches: Sequence[int] = (1, 8, 32),
    threads: int = 1,
    seconds: float = 2.0,
    engine: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> LatencyReport:
    """Time the variants of a bundle on this machine's CPU, interleaved in this process.

    Args:
        bundle: a verified bundle; its ``model.onnx`` is timed as *compiled*, ``baseline/direct.onnx`` as
            *direct* and ``baseline/backbone.onnx`` as *backbone*, as far as they are there.
        batches: the batch sizes.
        threads: threads within one operator.
        seconds: how long to time each batch size, all variants together; at least seven rounds are run.
        engine: one of `ENGINES`; None takes the one that the bundle was planned for, or ONNX Runtime where
            that is not here.
        progress: told in one line what is being timed.

    Raises:
        InputError: an argument is out of range, the bundle has no compiled model, or its batch is fixed.
        MissingCapabilityError: the engine is not installed.
    """
    _check_arguments(batches, threads, seconds)
    runtimes = _load_variants(bundle, threads, _engine(bundle, engine))
    _check_batches(bundle, runtimes, batches)
    rows: list[LatencyRow] = []
    speedups: list[Speedup] = []
    noise: list[BatchNoise] = []
    for batch in batches:
        if progress is not None:
            progress(f"batch {batch}: timing {', '.join(runtimes)} for {seconds:g} s")
        times = interleaved(
            _callables(runtimes, batch),
            seconds=seconds,
            min_rounds=_MIN_ROUNDS,
            warmup=min(seconds, _MOST_WARMUP_SECONDS),
        )
        control = times.pop(_CONTROL)
        rows += [_row(batch, variant, series) for variant, series in times.items()]
        speedups += _speedups(batch, times)
        noise.append(BatchNoise.measured(batch, ratio_of(control, times[_control_variant(runtimes)])))
    return LatencyReport(
        bundle=str(bundle.path),
        model=f"{bundle.manifest.name} version {bundle.manifest.version}",
        precision=bundle.manifest.precision,
        engine=next(iter(runtimes.values())).describe(),
        machine=describe_machine(),
        threads=threads,
        seconds=seconds,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        rows=tuple(rows),
        speedups=tuple(speedups),
        noise=tuple(noise),
    )


def _check_arguments(batches: Sequence[int], threads: int, seconds: float) -> None:
    if not batches:
        raise InputError("no batch size to measure; give at least one, such as 1")
    for batch in batches:
        if batch < 1:
            raise InputError(f"batch {batch} is not a batch size; use integers from 1 up")
    if len(set(batches)) != len(batches):
        raise InputError(f"batch sizes {', '.join(map(str, batches))}: one is given twice; give each once")
    if threads < 1:
        raise InputError(f"threads {threads}: use an integer from 1 up")
    if not 0 < seconds < float("inf"):
        raise InputError(f"seconds {seconds:g}: use a number above 0")


def _engine(bundle: Bundle, name: str | None) -> type[OnnxRuntime] | type[OpenVino]:
    if name is None:
        return ENGINES.get(bundle.manifest.target, OnnxRuntime)
    if name not in ENGINES:
        raise InputError(f"engine {name}: no such engine here; choose from {', '.join(ENGINES)}")
    return ENGINES[name]


def _load_variants(
    bundle: Bundle, threads: int, engine: type[OnnxRuntime] | type[OpenVino]
) -> dict[str, Runtime]:
    files = {variant: bundle.file(name) for variant, name in _FILES.items()}
    if files["compiled"] is None:
        raise InputError(f"{bundle.path}: the bundle has no {MODEL_NAME}; export it again")
    return {variant: engine(file, threads=threads) for variant, file in files.items() if file is not None}


def _check_batches(bundle: Bundle, runtimes: Mapping[str, Runtime], batches: Sequence[int]) -> None:
    for variant, runtime in runtimes.items():
        for spec in runtime.inputs:
            fixed = spec.shape[0] if spec.shape else None
            wrong = [batch for batch in batches if isinstance(fixed, int) and batch != fixed]
            if wrong:
                raise InputError(
                    f"{bundle.path}: {_FILES[variant]} has a fixed batch of {fixed}, not {wrong[0]}; "
                    f"measure batch {fixed} alone, or export with a dynamic batch"
                )


def _callables(runtimes: Mapping[str, Runtime], batch: int) -> dict[str, Callable[[], object]]:
    callables = {variant: _call(runtime, batch) for variant, runtime in runtimes.items()}
    callables[_CONTROL] = callables[_control_variant(runtimes)]
    return callables


def _call(runtime: Runtime, batch: int) -> Callable[[], object]:
    generator = np.random.default_rng(_SEED)  # seeded anew, so that every variant sees the same numbers
    feeds = {spec.name: spec.random(batch, generator) for spec in runtime.inputs}
    return lambda: runtime.run(feeds)


def _control_variant(runtimes: Mapping[str, Runtime]) -> str:
    return "direct" if "direct" in runtimes else "compiled"


def _row(batch: int, variant: str, times: Seconds) -> LatencyRow:
    p50, p90, p99 = (1e3 * value for value in percentiles(times, (50, 90, 99)))
    return LatencyRow(
        batch=batch,
        variant=variant,
        calls=times.size,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        items_per_second=batch * times.size / float(times.sum()),
    )


def _speedups(batch: int, times: Mapping[str, Seconds]) -> list[Speedup]:
    compiled = times["compiled"]
    return [
        Speedup.measured(batch, other, ratio_of(times[other], compiled))
        for other in ("backbone", "direct")
        if other in times
    ]
