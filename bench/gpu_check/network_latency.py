"""Latency of the networks of `bench networks` on the device, in torch and in engines.

Torch computes them direct and compiled, in every precision, as a CUDA graph and by torch.compile. What counts is the
time on the device. The plan of the compiled network is an estimate from published rates, since to measure one takes
longer than all of this: so the network with every possible layer by FFT is timed beside it, and `layer_rooflines`
compares estimates with measurements. A rehearsal on the CPU takes the same plan.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Literal

import torch
from torch import Tensor, nn

from dashdeploy.bench.common.device import clock_of
from dashdeploy.bench.gpu_check.report import Figure, Row
from dashdeploy.bench.latency.measure import measure_latency
from dashdeploy.bench.latency.variants import TORCH, TORCH_COMPILE
from dashdeploy.bench.networks.measure import NETWORKS, export_network, network_source
from dashdeploy.errors import DashdeployError, first_line
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.planning.planner import choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.absent import ASSUMED, named
from dashdeploy.export.targets.selection import target_of
from dashdeploy.export.torch.model import lower_module
from dashdeploy.progress import silent
from dashdeploy.runtimes.names import EngineName, TargetName
from dashdeploy.runtimes.torch.device import (
    PRECISIONS,
    TorchPrecision,
    captured,
    choose_kernels_by_trial,
    tf32,
)
from dashdeploy.timing import interleaved, ratio_of

PARITY = 1e-4
"""Of the largest output; see `dashdeploy.bench.gpu_check.parity`."""

_BATCHES = (1, 64, 256)
_PRECISIONS = PRECISIONS
_ENGINE_BATCHES = (1, 64, 256)
_SECONDS = 1.0


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for every network and batch, and one for every engine and network or why there is none.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether the smallest network at batch 1 will do.
        seconds: what is left when they are over is said.
    """
    end = monotonic() + seconds
    if device == "cuda":
        choose_kernels_by_trial()
    names = ["convnext"] if quick else list(NETWORKS)
    engines = (EngineName.ORT_CUDA, EngineName.TENSORRT) if device == "cuda" else (EngineName.ORT_CPU,)
    first, *others = names
    # All kinds of the first network, on which the targets are set, then the quick kinds of the others.
    work = [(first, TORCH), *((first, engine) for engine in engines), (first, TORCH_COMPILE)]
    work += [(name, kind) for name in others for kind in (TORCH, *engines)]
    work += [(name, TORCH_COMPILE) for name in others]
    sources: dict[str, Source] = {}
    for name, kind in work:
        if monotonic() > end:
            yield Row(what=f"{name}, {kind}", reason="left out: the section's time is over")
            continue
        if name not in sources:
            sources[name] = network_source(name, silent)
        if kind == TORCH:
            yield from _torch_rows(name, sources[name], device, quick=quick)
        elif kind == TORCH_COMPILE:
            yield _torch_compile_row(name, sources[name], device, quick=quick)
        else:
            yield _engine_row(name, EngineName(kind), quick=quick)
            if name == first and device == "cuda":
                yield _engine_row(name, EngineName(kind), quick=quick, precision="fp16")


def _torch_rows(name: str, source: Source, device: str, *, quick: bool) -> Iterator[Row]:
    """A row for every batch and precision; all of a batch take turns in the same rounds."""
    assert source.module is not None
    modules = {
        "direct": source.module,
        "planned": _lowered(source, "auto"),
        "by FFT": _lowered(source, "fft"),
    }
    precisions = _PRECISIONS if device == "cuda" else ("fp32", "bf16")
    for batch in (1,) if quick else _BATCHES if device == "cuda" else _BATCHES[:1]:
        try:
            yield from _batch_rows(
                f"{name}, torch, batch {batch}", modules, batch, precisions, device, quick=quick
            )
        except torch.OutOfMemoryError as error:
            yield Row(what=f"{name}, torch, batch {batch}", reason=f"left out: {first_line(error)}")


def _batch_rows(
    what: str,
    modules: Mapping[str, nn.Module],
    batch: int,
    precisions: Sequence[TorchPrecision],
    device: str,
    *,
    quick: bool,
) -> Iterator[Row]:
    x = _input(what.partition(",")[0], batch).to(device)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    outputs: dict[tuple[str, str], Tensor] = {}
    notes: dict[str, str] = {}
    with torch.inference_mode():
        for precision in precisions:
            dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
            for key, module in modules.items():
                moved = copy.deepcopy(module).to(device, dtype).eval()
                call = _call(moved, x.to(dtype), allow_tf32=precision == "tf32")
                calls[precision, key], outputs[precision, key] = call, call()
        expected = outputs["fp32", "direct"]
        if device == "cuda":
            for key in ("direct", "planned"):
                try:
                    calls["fp32", f"{key}, CUDA graph"] = captured(calls["fp32", key])[0]
                except RuntimeError as error:  # torch's only class for whatever a GPU cannot do
                    notes["fp32"] = f"no CUDA graph of {key}: {first_line(error)}"
        times = interleaved(
            {f"{precision}/{key}": call for (precision, key), call in calls.items()},
            seconds=0.1 if quick else _SECONDS,
            min_rounds=3,
            warmup=0.5,
            clock=clock_of(device),
        )
    for precision in precisions:
        series = {key: times[f"{precision}/{key}"] for of, key in calls if of == precision}
        errors = [
            float((y.float() - expected).abs().max() / expected.abs().max())
            for (of, _), y in outputs.items()
            if of == precision
        ]
        figures: dict[str, Figure] = {f"{key}, ms": 1e3 * _median(each) for key, each in series.items()}
        figures |= {
            f"{key} / direct": ratio_of(series[key], series["direct"]).median for key in ("planned", "by FFT")
        }
        figures["largest error"] = max(errors)
        fits = max(errors) <= PARITY
        judged = precision == "fp32"  # of the others, how exact they are is a figure
        yield Row(
            what=f"{what}, {precision}",
            figures=figures,
            passed=fits if judged else None,
            reason=notes.get(precision)
            if fits or not judged
            else f"more than {PARITY:g} of the largest output",
        )


def _torch_compile_row(name: str, source: Source, device: str, *, quick: bool) -> Row:
    batch = 1 if quick or device == "cpu" else _BATCHES[1]
    what = f"{name}, {TORCH_COMPILE}, batch {batch}"
    if not any(map(shutil.which, ("g++", "c++", "gcc", "clang"))):
        return Row(what=what, reason="left out: torch.compile needs a C++ compiler, such as g++")
    assert source.module is not None
    x = _input(name, batch).to(device)
    modules = {"direct": source.module, "planned": _lowered(source, "auto")}
    calls: dict[str, Callable[[], Tensor]] = {}
    try:
        with tf32(allowed=False), torch.inference_mode():
            for key, module in modules.items():
                moved = copy.deepcopy(module).to(device).eval()
                compiled: nn.Module = torch.compile(copy.deepcopy(moved), dynamic=False)  # type: ignore[assignment]
                calls |= {key: _call(moved, x), f"{key}, torch.compile": _call(compiled, x)}
            times = interleaved(
                calls, seconds=0.1 if quick else _SECONDS, min_rounds=3, warmup=0.5, clock=clock_of(device)
            )
    except Exception as error:  # Inductor and Triton raise classes of their own for whatever they miss
        return Row(what=what, reason=f"left out: torch.compile failed: {first_line(error)}")
    figures: dict[str, Figure] = {f"{key}, ms": 1e3 * _median(times[key]) for key in calls}
    return Row(what=what, figures=figures)


def _engine_row(name: str, engine: EngineName, *, quick: bool, precision: str = "fp32") -> Row:
    batches = (1,) if quick else _ENGINE_BATCHES if engine is not EngineName.ORT_CPU else (1, 8)
    what = f"{name}, {engine}, {precision}"
    figures: dict[str, Figure] = {}
    try:
        # An engine of TensorRT is the compiled network alone, so the direct one is exported by itself.
        for lowering in ("direct", "auto") if engine is EngineName.TENSORRT else ("auto",):
            with TemporaryDirectory(prefix="dashdeploy-gpu-check-") as folder:
                settings = _engine_settings(engine, lowering, precision)
                bundle = export_network(name, Path(folder) / name, settings, progress=silent)
                seconds = 0.1 if quick else _SECONDS
                report = measure_latency(bundle, batches=batches, seconds=seconds, engines=[engine])
            for row in report.rows:
                variant = "direct" if lowering == "direct" else row.variant
                figures[f"{variant}, batch {row.batch}, ms"] = row.p50_ms
    except DashdeployError as error:
        return Row(what=what, reason=f"left out: {error}")
    except ImportError as error:
        return Row(what=what, reason=f"left out: {first_line(error)}; engines need onnxruntime and scipy too")
    return Row(what=what, figures=figures)


def _engine_settings(engine: EngineName, lowering: str, precision: str = "fp32") -> ExportSettings:
    """Settings of an export whose plan is estimated: to measure one takes longer than all of this."""
    gpu = {} if engine is EngineName.ORT_CPU else {"device": planned_for()}
    built = engine is EngineName.TENSORRT
    artifacts = ArtifactSettings(trt=built, engine=EngineSettings(batches=_ENGINE_BATCHES))
    given = {"target": engine, "tune": "estimate", "lowering": lowering, "precision": precision, **gpu}
    return ExportSettings.model_validate(given | ({"artifacts": artifacts} if built else {}))


def _lowered(source: Source, lowering: Literal["auto", "fft"]) -> nn.Module:
    """The network with the convolutions of a plan that is estimated, or with all by FFT."""
    settings = ExportSettings(
        target=TargetName.TORCH_CUDA, device=planned_for(), tune="estimate", lowering=lowering
    )
    target = target_of(settings)
    convolutions = find_convolutions(prepare(source.model))
    decisions = choose_lowerings(convolutions, settings, target, TuningCache(target.describe()), silent)
    assert source.module is not None
    specs = {layer.name: layer.spec for layer in decisions.plan.layers}
    return lower_module(source.module, decisions.lowerings, specs).module


def planned_for() -> str:
    """The key of the GPU whose published rates plans go by: this machine's, or `ASSUMED` if they are not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return named(name) or ASSUMED


def _input(name: str, batch: int) -> Tensor:
    return torch.randn(batch, *NETWORKS[name].input_shape, generator=torch.Generator().manual_seed(0))


def _call(module: nn.Module, x: Tensor, *, allow_tf32: bool = False) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with tf32(allowed=allow_tf32):
            y: Tensor = module(x)
        return y

    return call


def _median(times: object) -> float:
    import numpy as np

    return float(np.median(np.asarray(times)))
