"""How fast bundles are: their variants, on every engine asked for, by batch and threads.

All variants on all engines are loaded at once and timed in interleaved rounds (see `timing`). One of them is there
twice: the two series should have the same times, and how far they do not is the noise of this machine during this
measurement.

Where a model's weights happen to lie in memory changes its speed by a few percent for as long as it is loaded, which
no number of rounds averages out (Mytkowicz et al., Producing wrong data without doing anything obviously wrong,
ASPLOS 2009). So the variants that are compared with each other are loaded anew several times within the rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.latency.arguments import check_arguments, check_device_of
from dashdeploy.bench.latency.multiply_adds import measured_gpu_peaks, measured_peak, multiply_adds
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.latency.rows import BatchNoise, BundleFacts, LatencyRow, Quantile, Speedup
from dashdeploy.bench.latency.variants import (
    ALL,
    BASELINES,
    COMPILED,
    DIRECT,
    ENGINES,
    FILES,
    OF_TORCH,
    Variant,
    loadable,
    peak_mib,
    variants_of,
)
from dashdeploy.errors import InputError
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Call, Runtime, engine_clock
from dashdeploy.runtimes.engines import engine_of
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.names import EngineName
from dashdeploy.timing import (
    Clock,
    Seconds,
    interleaved,
    percentile_intervals,
    percentiles,
    ratio_of,
    thread_clock,
)

Key = tuple[str, str, str]
"""Label of the bundle, engine (with its precision where that is another than float32), variant."""

_CONTROL: Key = ("", "", "control")
_LOADS = 3
_MIN_ROUNDS = 3
"""Of each load."""

_MOST_WARMUP_SECONDS = 2.0
_SEED = 0


def measure_latency(
    bundles: Bundle | Sequence[Bundle],
    *,
    batches: Sequence[int] = (1, 8, 32),
    threads: int | Sequence[int] = 1,
    seconds: float = 2.0,
    engines: Sequence[str] | None = None,
    device: str = "cpu",
    precisions: Sequence[str] = ("fp32",),
    memory: bool = False,
    cpu_time: bool = False,
    progress: Progress = silent,
) -> LatencyReport:
    """Time the variants of bundles on this machine, interleaved in this process.

    Args:
        bundles: verified bundles; of each, ``model.onnx`` is timed as *compiled*, ``baseline/direct.onnx`` as
            *direct*, ``baseline/single.onnx``, an ensemble's first member, as *single*, and
            ``baseline/backbone.onnx`` as *backbone*, as far as they are there.
        batches: the batch sizes.
        threads: threads within one operator, one number or several.
        seconds: how long to time each batch size and number of threads, everything together; at least nine
            rounds are run.
        engines: some of `ENGINES`; ``all`` takes those that run here and says why the others do not; None takes
            the one that each bundle was planned for, or ONNX Runtime where that is not here.
        device: where the engines torch, torch-compile and torch-cuda-graph run: ``cpu`` or ``cuda``. The name of
            any other engine says it. On a GPU, what counts is the time there, by CUDA's events where the engine
            can be asked for it: inputs and outputs lie on the GPU.
        precisions: in which those engines are timed, of `PRECISIONS`; ``fp32`` is without TF32.
        memory: whether to measure the peak memory too, each variant in a process of its own.
        cpu_time: whether to time what the calling thread had a processor for, instead of the wall clock: for one
            thread on a machine that others use, too.
        progress: told in one line what is being timed.

    Raises:
        InputError: an argument is out of range, a bundle lacks what an engine needs, or its batch is fixed.
        MissingCapabilityError: an engine that was named, or the device, is not here.
    """
    chosen = [bundles] if isinstance(bundles, Bundle) else list(bundles)
    counts = [threads] if isinstance(threads, int) else list(threads)
    check_arguments(chosen, batches, counts, seconds, cpu_time=cpu_time)
    check_device_of(device, engines, precisions, memory=memory)
    labels = _labels(chosen)
    variants, skipped = _variants(
        dict(zip(labels, chosen, strict=True)), engines, device, precisions, counts[0]
    )
    described: dict[str, str] = {}
    examples: dict[str, ExampleInputs] = {}
    rows: list[LatencyRow] = []
    speedups: list[Speedup] = []
    noise: list[BatchNoise] = []
    clock = thread_clock if cpu_time else None
    peaks = {count: measured_peak(count, clock) for count in counts}
    gpu_peaks = measured_gpu_peaks({each.computed_in for each in variants.values() if each.on_gpu})
    for count in counts:
        runtimes = {key: variant.load(count) for key, variant in variants.items()}
        described |= {key[1]: runtime.describe() for key, runtime in runtimes.items()}
        examples = _check_batches(variants, runtimes, batches, progress)
        for batch in batches:
            progress(f"batch {batch}: timing {_named(runtimes)}, {count} thread(s), for {seconds:g} s")
            times = _times(variants, runtimes, examples, batch, count, seconds, clock)
            control = times.pop(_CONTROL)
            for key, series in times.items():
                variant = variants[key]
                peak = gpu_peaks.get(variant.computed_in) if variant.on_gpu else peaks[count]
                rows.append(_row(variant, key, batch, count, series, peak))
            speedups += _speedups(batch, count, times)
            noise.append(BatchNoise.measured(labels, batch, count, ratio_of(control, times[_control(times)])))
    if memory:
        progress("peak memory")
        rows = [
            _with_memory(row, variants[row.bundle, row.engine, row.variant], max(batches)) for row in rows
        ]
    return LatencyReport(
        provenance=Provenance.now(),
        seconds=seconds,
        cpu_time=cpu_time,
        bundles=tuple(
            BundleFacts.of(label, bundle, examples[label].length)
            for label, bundle in zip(labels, chosen, strict=True)
        ),
        engines=described,
        skipped=skipped,
        peak_gflops={count: 2e-9 * peak for count, peak in peaks.items()},
        gpu_peak_gflops={precision: 2e-9 * peak for precision, peak in gpu_peaks.items()},
        rows=tuple(rows),
        speedups=tuple(speedups),
        noise=tuple(noise),
    )


def _labels(bundles: Sequence[Bundle]) -> list[str]:
    """The models' names, or the paths of those that share one."""
    counts = Counter(bundle.manifest.name for bundle in bundles)
    labels = [
        bundle.manifest.name if counts[bundle.manifest.name] == 1 else str(bundle.path) for bundle in bundles
    ]
    if len(set(labels)) < len(labels):
        raise InputError(f"bundles {', '.join(labels)}: one appears twice; give each once")
    return labels


def _variants(
    bundles: Mapping[str, Bundle],
    engines: Sequence[str] | None,
    device: str,
    precisions: Sequence[str],
    threads: int,
) -> tuple[dict[Key, Variant], dict[str, str]]:
    """What is to be timed, and why some engines are not."""
    found: dict[Key, Variant] = {}
    skipped: dict[str, str] = {}
    for label, bundle in bundles.items():
        if bundle.file(FILES[COMPILED]) is None:
            raise InputError(f"{bundle.path}: the bundle has no {FILES[COMPILED]}; export it again")
        if engines is None:
            asked: Sequence[str] = [engine_of(bundle).name]
        else:
            asked = ENGINES if ALL in engines else list(dict.fromkeys(engines))
        in_precisions = [
            (engine, precision)
            for engine in asked
            for precision in (precisions if engine in OF_TORCH else precisions[:1])
        ]
        for engine, precision in in_precisions:
            called = f"{engine}, {precision}" if engine in OF_TORCH and precision != "fp32" else engine
            if engines is not None and ALL in engines:
                usable, reason = loadable(bundle, engine, threads, device, precision)
                if reason is not None:
                    skipped[called if len(bundles) == 1 else f"{called}, {label}"] = reason
            else:
                usable = variants_of(bundle, engine, device, precision)
            found |= {(label, called, variant.name): variant for variant in usable}
    return found, skipped


def _named(keys: Mapping[Key, object]) -> str:
    names = list(dict.fromkeys(variant for _, _, variant in keys))
    engines = list(dict.fromkeys(engine for _, engine, _ in keys))
    return f"{', '.join(names)} on {', '.join(engines)}"


def _check_batches(
    variants: Mapping[Key, Variant],
    runtimes: Mapping[Key, Runtime],
    batches: Sequence[int],
    progress: Progress,
) -> dict[str, ExampleInputs]:
    """Refuse batches that a variant does not take; gives inputs that all variants of a bundle take, by bundle.

    They are the compiled model's: another variant may leave open what was fixed when it was compiled.
    """
    found: dict[str, ExampleInputs] = {}
    for key, runtime in runtimes.items():
        inputs = variants[key].bundle.manifest.inputs
        fixed = ExampleInputs(tuple(inputs)).fixed_batch
        wrong = [batch for batch in batches if fixed is not None and batch != fixed]
        if wrong:
            raise InputError(
                f"{variants[key].file} has a fixed batch of {fixed}, not {wrong[0]}; "
                f"measure batch {fixed} alone, or export with a dynamic batch"
            )
        examples = ExampleInputs.of(runtime.run, inputs)
        refused = [batch for batch in batches if not examples.runs(runtime.run, batch)]
        if refused:
            takes = " or ".join(str(batch) for batch in batches if batch not in refused)
            mend = (
                f"measure batch {takes}"
                if takes
                else "fix its inputs with `input_shapes` and export it again"
            )
            raise InputError(f"{variants[key].file} does not run with batch {refused[0]}; {mend}")
        if examples.length is not None:
            progress(
                f"{variants[key].file}: dynamic axes that are not the batch have the least length it runs on, "
                f"{examples.length}; for another one, export with `input_shapes`"
            )
        known = found.setdefault(key[0], examples)
        if (examples.length or 0) > (known.length or 0):
            found[key[0]] = examples
    return found


def _times(
    variants: Mapping[Key, Variant],
    runtimes: dict[Key, Runtime],
    examples: Mapping[str, ExampleInputs],
    batch: int,
    threads: int,
    seconds: float,
    clock: Clock | None,
) -> dict[Key, Seconds]:
    """Seconds of every call, by key and of the control; `runtimes` are those that were loaded last."""
    twice = _control(variants)
    several = len({engine for _, engine, _ in variants}) > 1
    series: dict[Key, list[Seconds]] = {key: [] for key in (*variants, _CONTROL)}
    for load in range(_LOADS):
        for key in _compared(variants) if load > 0 else ():
            runtimes[key] = variants[key].load(threads)
        callables = {key: _call(runtime, examples[key[0]], batch) for key, runtime in runtimes.items()}
        callables[_CONTROL] = _call(variants[twice].load(threads), examples[twice[0]], batch)
        names = {"/".join(key): key for key in callables}
        measured = interleaved(
            {name: callables[key] for name, key in names.items()},
            seconds=seconds / _LOADS,
            min_rounds=_MIN_ROUNDS,
            warmup=min(seconds, _MOST_WARMUP_SECONDS if load == 0 else _MOST_WARMUP_SECONDS / 2),
            settle=several,
            clock=clock or engine_clock,
        )
        for name, key in names.items():
            series[key].append(measured[name])
    return {key: np.concatenate(parts) for key, parts in series.items()}


def _compared(keys: Mapping[Key, object]) -> list[Key]:
    """Those that stand beside another variant on the same engine."""
    counts = Counter((bundle, engine) for bundle, engine, _ in keys)
    return [key for key in keys if counts[key[:2]] > 1]


def _call(runtime: Runtime, examples: ExampleInputs, batch: int) -> Call:
    generator = np.random.default_rng(_SEED)  # seeded anew, so that every variant sees the same numbers
    return Call(runtime, examples.feeds(batch, generator))


def _control(keys: Mapping[Key, object]) -> Key:
    """What is timed twice: the first direct model, or the first of all."""
    return next((key for key in keys if key[2] == DIRECT), next(iter(keys)))


def _row(
    variant: Variant, key: Key, batch: int, threads: int, times: Seconds, peak: float | None
) -> LatencyRow:
    label, engine, name = key
    p50, p90, p99 = (1e3 * value for value in percentiles(times, (50, 90, 99)))
    bounds = [(1e3 * low, 1e3 * high) for low, high in percentile_intervals(times, (50, 90, 99))]
    # The plan counts what the portable model multiplies, not what native kernels do.
    native = engine in (EngineName.NATIVE, EngineName.OPENVINO_NATIVE) and name == COMPILED
    count = None if native else multiply_adds(variant.bundle, name)
    rate = None if count is None else count * batch / (1e-3 * p50)
    return LatencyRow(
        bundle=label,
        engine=engine,
        threads=threads,
        precision=variant.computed_in,
        batch=batch,
        variant=name,
        calls=times.size,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        intervals=tuple(
            Quantile(percentile=at, low_ms=low, high_ms=high)
            for at, (low, high) in zip((50, 90, 99), bounds, strict=True)
        ),
        items_per_second=batch * times.size / float(times.sum()),
        size_mib=variant.file.stat().st_size / 2**20,
        multiply_adds=count,
        peak_share=None if rate is None or peak is None else rate / peak,
    )


def _speedups(batch: int, threads: int, times: Mapping[Key, Seconds]) -> list[Speedup]:
    return [
        Speedup.measured(
            label, engine, threads, batch, other, ratio_of(times[label, engine, other], compiled)
        )
        for (label, engine, name), compiled in times.items()
        if name == COMPILED
        for other in BASELINES
        if (label, engine, other) in times
    ]


def _with_memory(row: LatencyRow, variant: Variant, batch: int) -> LatencyRow:
    if row.batch != batch:  # memory grows with the batch; the largest one tells
        return row
    return row.model_copy(update={"peak_mib": peak_mib(variant, row.batch, row.threads)})
