"""How fast models are in every engine that is here, timed in common interleaved rounds.

An engine in another process says itself how long a call took there. The first direct model is timed twice; how far
the two series differ is the noise of this machine during this measurement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns

import numpy as np

from dashdeploy.artifacts.bundle import BACKBONE_NAME, DIRECT_NAME, Bundle
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.common.checks import check_count, check_seconds
from dashdeploy.bench.common.peak_memory import peak_mib_of
from dashdeploy.bench.engines.candidates import TORCH_FILES, Candidate, candidates_of, missing, runtime_mib
from dashdeploy.bench.engines.models import ALL, Model, check_engines
from dashdeploy.bench.engines.report import EngineRatio, EngineRow, EnginesReport
from dashdeploy.bench.latency.rows import BatchNoise
from dashdeploy.bench.latency.variants import BACKBONE, COMPILED, DIRECT
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array, Call, Runtime, engine_clock
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.timing import RatioEstimate, Seconds, interleaved, percentiles, ratio_of

_CONTROL = "control"
_MIN_ROUNDS, _MOST_WARMUP_SECONDS = 7, 5.0
_MEMORY_CALLS = 2


def measure_engines(
    models: Sequence[Model],
    *,
    engines: Sequence[str] | None = None,
    batch: int = 1,
    threads: int = 1,
    seconds: float = 10.0,
    memory: bool = True,
    progress: Progress = silent,
) -> EnginesReport:
    """Time every variant of models in every engine, interleaved in this process.

    Args:
        models: as `of_bundles` and `of_networks` give them.
        engines: some of `ENGINES`; None or ``all`` takes all that are here and says why the others are not.
        batch: samples per call.
        threads: within one operator.
        seconds: how long to time each model, all engines together; at least seven rounds are run.
        memory: whether to measure the peak memory too, each variant in a process of its own.
        progress: told in one line what is being done.

    Raises:
        InputError: an argument is out of range, a model does not take the batch, or no engine runs it.
        MissingCapabilityError: an engine that was named is not here.
    """
    check_seconds(seconds)
    check_count("batch", batch)
    check_count("threads", threads)
    wanted = check_engines(engines)
    skipped = {name: reason for name in wanted if (reason := missing(name)) is not None}
    named = engines is not None and ALL not in engines
    if skipped and named:
        raise MissingCapabilityError("; ".join(skipped.values()))
    described: dict[str, str] = {}
    rows: list[EngineRow] = []
    ratios: list[EngineRatio] = []
    noise: list[BatchNoise] = []
    for model in models:
        with TemporaryDirectory(prefix="dashdeploy-engines-") as folder:
            asked = [name for name in wanted if name not in skipped]
            loaded, refused = _loaded(model, asked, batch, threads, Path(folder), progress, named=named)
            skipped |= {
                name if len(models) == 1 else f"{name}, {model.label}": reason
                for name, reason in refused.items()
            }
            if not loaded:
                raise InputError(f"{model.label}: no engine can run it: {'; '.join(skipped.values())}")
            described |= {candidate.engine: runtime.describe() for candidate, runtime in loaded.items()}
            progress(f"{model.label}: timing {len(loaded)} variants for {seconds:g} s")
            measured = _timed(model, loaded, batch, threads, seconds)
            rows += measured.rows
            ratios += measured.ratios
            noise.append(BatchNoise.measured([model.label], batch, threads, measured.control))
            if memory:
                progress(f"{model.label}: peak memory")
                peaks = {(each.engine, each.variant): _peak(each, batch, threads) for each in loaded}
                rows = [
                    row.model_copy(update={"peak_mib": peaks[row.engine, row.variant]})
                    if row.model == model.label
                    else row
                    for row in rows
                ]
    return EnginesReport(
        provenance=Provenance.now(),
        seconds=seconds,
        batch=batch,
        threads=threads,
        engines=described,
        runtime_mib={name: size for name in described if (size := runtime_mib(name)) is not None},
        skipped=skipped,
        rows=tuple(rows),
        ratios=tuple(ratios),
        noise=tuple(noise),
    )


def _loaded(
    model: Model,
    engines: Sequence[str],
    batch: int,
    threads: int,
    folder: Path,
    progress: Progress,
    *,
    named: bool,
) -> tuple[dict[Candidate, Runtime], dict[str, str]]:
    """Every variant that loads, and why engines have none; one that is `named` and not here raises."""
    found: dict[Candidate, Runtime] = {}
    refused = {name: reason for name, reason in model.refused.items() if name in engines}
    for engine in engines:
        if engine in refused:
            continue
        progress(f"{model.label}: loading in {engine}")
        try:
            candidates = candidates_of(model.planned.get(engine, model.bundle), engine, batch, folder)
            if engine in TORCH_FILES and DIRECT in model.planned:
                (direct,) = candidates_of(model.planned[DIRECT], engine, batch, folder)
                candidates.insert(
                    0, Candidate(engine, DIRECT, direct.bundle, direct.file, direct.planned_for)
                )
            found |= {candidate: candidate.load(threads, batch) for candidate in candidates}
        except (InputError, MissingCapabilityError) as error:
            if named and isinstance(error, MissingCapabilityError):
                raise
            refused[engine] = str(error)
    return found, refused


@dataclass(frozen=True)
class _Timed:
    rows: list[EngineRow]
    ratios: list[EngineRatio]
    control: RatioEstimate


class _Clock:
    """Times calls by the engines' own clocks, and keeps how long each took with the way there and back."""

    def __init__(self) -> None:
        self.trips: dict[int, list[int]] = defaultdict(list)

    def __call__(self, call: Callable[[], object]) -> int:
        start = perf_counter_ns()
        inside = engine_clock(call)
        if isinstance(call, Call):
            self.trips[id(call.runtime)].append(perf_counter_ns() - start)
        return inside


def _timed(
    model: Model, loaded: Mapping[Candidate, Runtime], batch: int, threads: int, seconds: float
) -> _Timed:
    examples = ExampleInputs.of(next(iter(loaded.values())).run, model.bundle.manifest.inputs)
    feeds = examples.feeds(batch, np.random.default_rng(0))
    expected = _references(model.bundle, feeds)
    errors = {each: _error(runtime, feeds, expected[each.variant]) for each, runtime in loaded.items()}
    first = next((each for each in loaded if each.variant == DIRECT), next(iter(loaded)))
    calls = {f"{each.engine}/{each.variant}": Call(runtime, feeds) for each, runtime in loaded.items()}
    clock = _Clock()
    times = interleaved(
        {**calls, _CONTROL: Call(first.load(threads, batch), feeds)},
        seconds=seconds,
        min_rounds=_MIN_ROUNDS,
        warmup=min(seconds, _MOST_WARMUP_SECONDS),
        settle=True,
        clock=clock,
    )
    series = {each: times[f"{each.engine}/{each.variant}"] for each in loaded}
    rows = []
    for each, runtime in loaded.items():
        trips = clock.trips[id(runtime)][-series[each].size :]
        elsewhere = hasattr(runtime, "inside_nanoseconds")
        rows.append(_row(model.label, each, series[each], errors[each], trips if elsewhere else None))
    control = ratio_of(times[_CONTROL], series[first])
    return _Timed(rows, _ratios(model.label, series), control)


def _row(
    label: str, candidate: Candidate, times: Seconds, error: float, trips: Sequence[int] | None
) -> EngineRow:
    p50, p90, p99 = (1e3 * value for value in percentiles(times, (50, 90, 99)))
    return EngineRow(
        model=label,
        engine=candidate.engine,
        variant=candidate.variant,
        planned_for=candidate.planned_for,
        calls=times.size,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        round_trip_ms=None if trips is None else float(np.median(trips)) * 1e-6,
        error=error,
        file_mib=candidate.file.stat().st_size / 2**20,
    )


def _ratios(label: str, series: Mapping[Candidate, Seconds]) -> list[EngineRatio]:
    found = []
    by_engine: dict[str, dict[str, Seconds]] = defaultdict(dict)
    for candidate, times in series.items():
        by_engine[candidate.engine][candidate.variant] = times
    for engine, times_of in by_engine.items():
        for over, under in ((DIRECT, COMPILED), (COMPILED, BACKBONE)):
            if over in times_of and under in times_of:
                ratio = ratio_of(times_of[over], times_of[under])
                found.append(
                    EngineRatio.model_validate(
                        {
                            "model": label,
                            "engine": engine,
                            "of": f"{over} / {under}",
                            "median": ratio.median,
                            "low": ratio.low,
                            "high": ratio.high,
                        }
                    )
                )
    return found


def _references(bundle: Bundle, feeds: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """What ONNX Runtime says with every convolution direct, by variant."""
    direct = OnnxRuntime(bundle.path / DIRECT_NAME).run(feeds)
    backbone = bundle.file(BACKBONE_NAME)
    return {
        DIRECT: direct,
        COMPILED: direct,
        BACKBONE: {} if backbone is None else OnnxRuntime(backbone).run(feeds),
    }


def _error(runtime: Runtime, feeds: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    got = runtime.run(feeds)
    worst = 0.0
    for name, value in expected.items():
        reference = value.astype(np.float64)
        scale = float(np.abs(reference).max(initial=0.0)) or 1.0
        difference = np.abs(got[name].astype(np.float64) - reference).max(initial=0.0)
        worst = max(worst, float(np.nan_to_num(difference, nan=np.inf)) / scale)
    return worst


def _peak(candidate: Candidate, batch: int, threads: int) -> float | None:
    asked = {
        "engine": candidate.engine,
        "variant": candidate.variant,
        "bundle": str(candidate.bundle),
        "file": str(candidate.file),
        "batch": batch,
        "threads": threads,
    }
    return peak_mib_of(load_and_call, asked, title=f"{candidate.variant} in {candidate.engine}")


def load_and_call(*, engine: str, variant: str, bundle: str, file: str, batch: int, threads: int) -> None:
    """Load a variant in an engine and call it twice; what the peak memory is measured of."""
    runtime = Candidate(engine, variant, Path(bundle), Path(file), "").load(threads, batch)
    inputs = Bundle.load(Path(bundle), verify=False).manifest.inputs
    feeds = ExampleInputs.of(runtime.run, inputs).feeds(batch, np.random.default_rng(0))
    for _ in range(_MEMORY_CALLS):
        runtime.run(feeds)
