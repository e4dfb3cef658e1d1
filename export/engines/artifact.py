"""Writes an engine and its sidecar into a bundle's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.bundle import MODEL_NAME
from dashdeploy.errors import MissingCapabilityError
from dashdeploy.export.engines.builder import build_engine
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.engines.sidecar import EngineSidecar
from dashdeploy.export.verify.parity import check_parity
from dashdeploy.inspect.doctor import find_gpus
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.tensorrt import TensorRT
from dashdeploy.runtimes.tensorrt_flavours import Flavour

_PROFILED_RUNS = 20


def write_engine(
    folder: Path,
    flavour: Flavour,
    settings: EngineSettings,
    *,
    precision: str,
    layers: Mapping[str, str],
    progress: Callable[[str], None],
) -> None:
    """Build the engine of ``model.onnx`` in `folder`; where a GPU can run it, check it as well.

    Args:
        folder: the bundle that is being written.
        flavour: which TensorRT.
        settings: for which GPUs and batches.
        precision: the model's.
        layers: the chosen lowering by the layer's name.
        progress: told what is being done.

    Raises:
        MissingCapabilityError: the flavour cannot build on this machine.
        InputError: TensorRT does not know an operator of the model.
        GateError: TensorRT finds no way to run the model, or the engine does not agree with it.
    """
    trt = flavour.load()
    model, engine = folder / MODEL_NAME, folder / flavour.file_name
    progress(f"building the {flavour.title} engine")
    compiled = [layer for layer, lowering in layers.items() if lowering != "direct"]
    built = build_engine(model, flavour, settings, compiled)
    engine.write_bytes(built.content)
    reproducible = built.fixed_addresses
    if reproducible:
        progress("building it once more, to see whether it comes out the same")
        reproducible = build_engine(model, flavour, settings, compiled).content == built.content
    onnx_runtime = OnnxRuntime(model)
    gpus, _ = find_gpus()
    agrees = _agrees(engine, flavour, onnx_runtime, precision, settings.batches, progress)
    if agrees:
        _write_profile(engine, flavour, onnx_runtime)
    sidecar = EngineSidecar(
        file=flavour.file_name,
        sha256=sha256_of(engine),
        model_sha256=sha256_of(model),
        engine="tensorrt-rtx" if flavour.ahead_of_time else "tensorrt",
        version=trt.__version__,
        compute_capabilities=list(settings.compute_capabilities)
        if flavour.ahead_of_time
        else [gpus[0].compute_capability],
        precision=precision,
        batches=settings.batches if built.dynamic else None,
        reproducible=reproducible,
        layers=dict(layers),
        checked="parity" if agrees else "built",
    )
    path = folder / flavour.sidecar_name
    path.write_text(sidecar.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_profile(engine: Path, flavour: Flavour, reference: OnnxRuntime) -> None:
    """What the engine is made of, and how long each layer takes for a batch of one, beside the engine."""
    runtime = TensorRT(engine, flavour)
    generator = np.random.default_rng(0)
    feeds = {spec.name: spec.random(1, generator) for spec in reference.inputs}
    reports = {"layers": runtime.layers(), "profile": runtime.profile(feeds, runs=_PROFILED_RUNS)}
    for name, report in reports.items():
        path = engine.with_name(f"{engine.name}.{name}.json")
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _agrees(
    engine: Path,
    flavour: Flavour,
    reference: OnnxRuntime,
    precision: str,
    batches: tuple[int, int, int],
    progress: Callable[[str], None],
) -> bool:
    """Whether the engine was run and agrees; False where no GPU can run it, or not with the batches 1 and 3.

    Raises:
        GateError: it was run and does not agree.
    """
    if batches[0] > 1 or batches[2] < 3:
        return False
    try:
        runtime = TensorRT(engine, flavour)
    except MissingCapabilityError:
        return False
    progress(f"checking the {flavour.title} engine on the GPU")
    generator = np.random.default_rng(0)
    samples = {spec.name: spec.random(1, generator) for spec in reference.inputs}
    check_parity(runtime, reference.run, f"{reference.describe()} on the same model", samples, precision)
    return True
