"""MLPerf LoadGen against a bundle in this process, or against a running server.

LoadGen (``mlcommons-loadgen``) makes the load, takes the times and gives the verdict, by the rules of MLPerf
Inference (Reddi et al., ISCA 2020, arXiv 1911.02549): SingleStream asks one query after the other, Offline all at
once, Server at random moments (Poisson) of a given rate, of which 99 % must keep a latency bound. MLPerf's own runs
take ten minutes; how long a run here takes is the caller's choice and stands in the result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.common.checks import check_seconds
from dashdeploy.bench.loadgen.report import LoadGenReport
from dashdeploy.bench.loadgen.targets import InProcess, OverHttp, Target
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.progress import Progress, silent

Scenario = Literal["single-stream", "offline", "server"]

_LOADGEN_NAMES = {"single-stream": "SingleStream", "offline": "Offline", "server": "Server"}
_PILOT_SECONDS = 1.0
_LONGEST_FACTOR, _LONGEST_EXTRA = 2.0, 5.0
_SAFE_SHARE = 0.5
"""Part of the pilot's throughput that the Server scenario asks for unless told otherwise."""


@dataclass(frozen=True)
class Load:
    """What LoadGen is to do.

    Attributes:
        scenario: which.
        seconds: the least duration of the run.
        batch: the most samples that are given to the engine at once in Offline.
        qps: queries a second in Server; None takes half of what a short pilot run reached.
        bound_ms: milliseconds that 99 % of Server's queries must keep.
    """

    scenario: Scenario
    seconds: float = 10.0
    batch: int = 32
    qps: float | None = None
    bound_ms: float = 15.0


def measure_loadgen(
    bundle: Bundle,
    load: Load,
    *,
    engine: str | None = None,
    url: str | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> LoadGenReport:
    """Run one scenario.

    Args:
        bundle: the bundle; with `url`, it tells the model's name and inputs.
        load: what LoadGen is to do.
        engine: what runs the bundle in this process; None takes what it was made for.
        url: the server to ask instead, such as ``http://127.0.0.1:8000``.
        threads: threads within one operator, in this process.
        progress: told in one line what is being done.

    Raises:
        InputError: an argument is out of range, or the server does not answer or refuses a request.
        MissingCapabilityError: LoadGen or the engine is not installed.
    """
    loadgen = _import_loadgen()
    check_seconds(load.seconds)
    target: Target = (
        OverHttp(bundle, url) if url is not None else InProcess(bundle, engine, threads, batch=load.batch)
    )
    try:
        progress(f"a pilot run of {_PILOT_SECONDS:g} s")
        latency, throughput = _pilot(target, load)
        settings, told = _settings(loadgen, load, latency, throughput)
        progress(f"LoadGen, {_LOADGEN_NAMES[load.scenario]}, at least {load.seconds:g} s")
        summary = _run(loadgen, target, settings)
    finally:
        target.close()
    return LoadGenReport(
        provenance=Provenance.now(),
        bundle=str(bundle.path),
        answered_by=target.describe(),
        scenario=_LOADGEN_NAMES[load.scenario],
        valid=_verdict(summary),
        figures=_figures(summary),
        settings=told,
        recommendations=_recommendations(summary),
    )


def _import_loadgen() -> Any:  # noqa: ANN401 - the package has no types
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise MissingCapabilityError(
            "MLPerf LoadGen is not installed; install it with: pip install 'dashdeploy[loadgen]'"
        ) from error
    return mlperf_loadgen


def _pilot(target: Target, load: Load) -> tuple[float, float]:
    """Seconds of one query, and samples a second as the scenario asks for them."""
    times: list[float] = []
    deadline = perf_counter() + _PILOT_SECONDS
    while perf_counter() < deadline or len(times) < 3:
        started = perf_counter()
        target.answer_one(0)
        times.append(perf_counter() - started)
    latency = float(np.median(times))
    if load.scenario != "offline":
        return latency, 1 / latency
    done, started = 0, perf_counter()
    while perf_counter() < started + _PILOT_SECONDS:
        target.answer_all(range(4 * load.batch))
        done += 4 * load.batch
    return latency, done / (perf_counter() - started)


def _settings(
    loadgen: Any,  # noqa: ANN401
    load: Load,
    latency: float,
    throughput: float,
) -> tuple[Any, dict[str, float]]:
    settings = loadgen.TestSettings()
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.scenario = getattr(loadgen.TestScenario, _LOADGEN_NAMES[load.scenario])
    settings.min_duration_ms = round(1000 * load.seconds)
    # A rate that is never reached would otherwise take as long as all its queries do.
    settings.max_duration_ms = round(1000 * (_LONGEST_FACTOR * load.seconds + _LONGEST_EXTRA))
    told = {"least seconds": load.seconds}
    if load.scenario == "single-stream":
        settings.single_stream_expected_latency_ns = max(1, round(1e9 * latency))
        settings.min_query_count = 100
    elif load.scenario == "offline":
        # Offline makes all its queries beforehand; too few would end before the least duration.
        settings.offline_expected_qps = throughput * 1.3
        told["expected samples a second"] = throughput
    else:
        rate = load.qps if load.qps is not None else _SAFE_SHARE * throughput
        settings.server_target_qps = rate
        settings.server_target_latency_ns = round(1e6 * load.bound_ms)
        settings.server_target_latency_percentile = 0.99
        settings.min_query_count = 100
        told |= {"queries a second": rate, "bound in ms": load.bound_ms, "percentile": 99}
    return settings, told


def _run(loadgen: Any, target: Target, settings: Any) -> str:  # noqa: ANN401
    failures: list[Exception] = []

    def done(ids: Sequence[int]) -> None:
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(each, 0, 0) for each in ids])

    def issue(samples: Sequence[Any]) -> None:
        if failures:  # every query must be completed, or LoadGen waits for ever
            done([sample.id for sample in samples])
            return
        target.issue([(sample.id, sample.index) for sample in samples], done, failures.append)

    def nothing(*_arguments: object) -> None:
        return

    with tempfile.TemporaryDirectory(prefix="dashdeploy-loadgen-") as folder:
        log = loadgen.LogSettings()
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        log.enable_trace = False
        sut = loadgen.ConstructSUT(issue, nothing)
        qsl = loadgen.ConstructQSL(target.samples, target.samples, nothing, nothing)
        try:
            loadgen.StartTestWithLogSettings(sut, qsl, settings, log, str(Path(folder) / "audit.config"))
        finally:
            loadgen.DestroyQSL(qsl)
            loadgen.DestroySUT(sut)
        if failures:
            raise failures[0]
        return (Path(folder) / "mlperf_log_summary.txt").read_text(encoding="utf-8", errors="replace")


def _verdict(summary: str) -> bool:
    for line in summary.splitlines():
        if line.startswith("Result is"):
            return line.partition(":")[2].strip() == "VALID"
    raise InputError("LoadGen wrote no verdict; run it again for longer")


def _figures(summary: str) -> dict[str, float]:
    """The figures of the summary's first two parts: results, then statistics."""
    figures = {}
    for line in summary.partition("Test Parameters Used")[0].splitlines():
        name, colon, value = line.partition(":")
        try:
            figures[name.strip()] = float(value)
        except ValueError:
            continue
        if not colon:
            continue
    return figures


def _recommendations(summary: str) -> tuple[str, ...]:
    """The lines after ``Recommendations:``, and those on early stopping that were not met."""
    found, inside = [], False
    for line in summary.splitlines():
        if line.startswith("Recommendations:"):
            inside = True
        elif inside:
            if not line.startswith(" "):
                break
            found.append(line.strip(" *"))
    return tuple(found)
