"""Latency of the networks of `bench networks` on the device: torch direct, compiled, by torch.compile; and engines.

Torch's inputs are on the device already, and calls are timed there; figures of engines are those of `bench latency`,
which hands them arrays. The plan of the compiled network is an estimate, since plans are measured on no GPU through
torch: so the network with every possible layer by FFT is timed beside it. A rehearsal on the CPU takes the same plan.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
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
from dashdeploy.export.targets.selection import target_of
from dashdeploy.export.torch.model import lower_module
from dashdeploy.progress import silent
from dashdeploy.runtimes.names import EngineName, TargetName
from dashdeploy.runtimes.torch_device import tf32
from dashdeploy.timing import interleaved, ratio_of

PLANNED_FOR = "a100"
"""The GPU of `export.targets.absent` whose published rates the plan goes by."""

PARITY = 1e-4
"""Of the largest output; see `dashdeploy.bench.gpu_check.parity`."""

_BATCHES = (1, 64)
_ENGINE_BATCHES = (1, 8, 64)
_SECONDS = 1.0


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for every network and batch, and one for every engine and network or why there is none.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether the smallest network at batch 1 will do.
        seconds: what is left when they are over is said.
    """
    end = monotonic() + seconds
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


def _torch_rows(name: str, source: Source, device: str, *, quick: bool) -> Iterator[Row]:
    assert source.module is not None
    modules = {
        "direct": source.module,
        "planned": _lowered(source, "auto"),
        "by FFT": _lowered(source, "fft"),
    }
    if device == "cuda":
        modules["direct, fp16"] = copy.deepcopy(source.module).half()
    moved = {key: copy.deepcopy(module).to(device).eval() for key, module in modules.items()}
    for batch in (1,) if quick else _BATCHES:
        x = _input(name, batch).to(device)
        calls = {key: _call(module, x.half() if "fp16" in key else x) for key, module in moved.items()}
        with tf32(allowed=False), torch.inference_mode():
            expected, found = calls["direct"](), {key: calls[key]() for key in ("planned", "by FFT")}
            times = interleaved(
                calls, seconds=0.1 if quick else _SECONDS, min_rounds=3, warmup=0.5, clock=clock_of(device)
            )
        errors = {key: float((y - expected).abs().max() / expected.abs().max()) for key, y in found.items()}
        figures: dict[str, Figure] = {f"{key}, ms": 1e3 * _median(times[key]) for key in calls}
        figures |= {f"{key} / direct": ratio_of(times[key], times["direct"]).median for key in found}
        figures["largest error"] = max(errors.values())
        fits = max(errors.values()) <= PARITY
        yield Row(
            what=f"{name}, torch, batch {batch}",
            figures=figures,
            passed=fits,
            reason=None if fits else f"more than {PARITY:g} of the largest output",
        )


def _torch_compile_row(name: str, source: Source, device: str, *, quick: bool) -> Row:
    what = f"{name}, {TORCH_COMPILE}, batch {1 if quick else _BATCHES[-1]}"
    if not any(map(shutil.which, ("g++", "c++", "gcc", "clang"))):
        return Row(what=what, reason="left out: torch.compile needs a C++ compiler, such as g++")
    assert source.module is not None
    x = _input(name, 1 if quick else _BATCHES[-1]).to(device)
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


def _engine_row(name: str, engine: EngineName, *, quick: bool) -> Row:
    what, batches = f"{name}, {engine}", (1,) if quick else _BATCHES
    figures: dict[str, Figure] = {}
    try:
        # An engine of TensorRT is the compiled network alone, so the direct one is exported by itself.
        for lowering in ("direct", "auto") if engine is EngineName.TENSORRT else ("auto",):
            with TemporaryDirectory(prefix="dashdeploy-gpu-check-") as folder:
                settings = _engine_settings(engine, lowering)
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


def _engine_settings(engine: EngineName, lowering: str) -> ExportSettings:
    """Settings of an export whose plan is estimated: to measure one takes longer than all of this."""
    gpu = {} if engine is EngineName.ORT_CPU else {"device": PLANNED_FOR}
    built = engine is EngineName.TENSORRT
    artifacts = ArtifactSettings(trt=built, engine=EngineSettings(batches=_ENGINE_BATCHES))
    given = {"target": engine, "tune": "estimate", "lowering": lowering, **gpu}
    return ExportSettings.model_validate(given | ({"artifacts": artifacts} if built else {}))


def _lowered(source: Source, lowering: Literal["auto", "fft"]) -> nn.Module:
    """The network with the convolutions of a plan that is estimated, or with all by FFT."""
    settings = ExportSettings(
        target=TargetName.TENSORRT, device=PLANNED_FOR, tune="estimate", lowering=lowering
    )
    target = target_of(settings)
    convolutions = find_convolutions(prepare(source.model))
    decisions = choose_lowerings(convolutions, settings, target, TuningCache(target.describe()), silent)
    assert source.module is not None
    specs = {layer.name: layer.spec for layer in decisions.plan.layers}
    return lower_module(source.module, decisions.lowerings, specs).module


def _input(name: str, batch: int) -> Tensor:
    return torch.randn(batch, *NETWORKS[name].input_shape, generator=torch.Generator().manual_seed(0))


def _call(module: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    return lambda: module(x)


def _median(times: object) -> float:
    import numpy as np

    return float(np.median(np.asarray(times)))
