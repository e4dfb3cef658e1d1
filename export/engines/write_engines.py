"""Writes engines and their sidecars into a bundle's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.bundle import MODEL_NAME, Bundle
from dashdeploy.errors import MissingCapabilityError, stage_call
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.engines.builder import build_engine
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.engines.sidecar import EngineSidecar
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import check_parity, input_sets
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.tensorrt import TensorRT
from dashdeploy.runtimes.tensorrt_flavors import RTX, TENSORRT, Flavor

_PROFILED_RUNS = 20


def requested_flavors(settings: ArtifactSettings) -> list[Flavor]:
    """The flavors of TensorRT whose engines were asked for."""
    return [flavor for flavor, wanted in ((RTX, settings.trt_rtx), (TENSORRT, settings.trt)) if wanted]


def write_engines(
    folder: Path, plan: Plan, precision: str, settings: ArtifactSettings, progress: Progress = silent
) -> dict[Flavor, str]:
    """Build the engines that were asked for into the bundle that is being written.

    Args:
        folder: where it is written; it holds the ONNX model.
        plan: how its layers are computed.
        precision: the ONNX model's.
        settings: the user's wishes.
        progress: a function that gets a line for each step.

    Returns:
        Why a flavor cannot be built on this machine, by flavor; the rest of the bundle is whole without it.

    Raises:
        InputError: TensorRT does not know an operator of the model.
        GateError: TensorRT finds no way to run the model, or the engine does not agree with it.
    """
    layers = {layer.name: layer.chosen for layer in plan.layers}
    missing = {}
    for flavor in requested_flavors(settings):
        try:
            write_engine(
                folder, flavor, settings.engine, precision=precision, layers=layers, progress=progress
            )
        except MissingCapabilityError as error:
            missing[flavor] = str(error)
    return missing


def raise_for_missing_engines(bundle: Bundle, missing: dict[Flavor, str], settings: ArtifactSettings) -> None:
    """End an export whose engines could not all be built, with the call that finishes it elsewhere.

    Args:
        bundle: the bundle that was written without them.
        missing: what `write_engines` returned.
        settings: the user's wishes.

    Raises:
        MissingCapabilityError: an engine is missing.
    """
    if missing:
        call = finishing_call(bundle.path, missing, settings)
        raise MissingCapabilityError(
            f"{'; '.join(missing.values())}; the bundle without the engine is at {bundle.path}: take it to a "
            f"machine that has all that and finish there with: {call}"
        )


def finishing_call(bundle: Path, flavors: Iterable[Flavor], settings: ArtifactSettings) -> str:
    """What builds the engines that are missing, on a machine that can."""
    parameters: dict[str, object] = {flavor.parameter: True for flavor in flavors}
    if settings.engine.batches != EngineSettings().batches:
        parameters["engine_batches"] = settings.engine.batches
    if settings.triton_repository is not None:
        parameters["triton_repository"] = settings.triton_repository
    return stage_call("export", bundle, **parameters)


def write_engine(
    folder: Path,
    flavor: Flavor,
    settings: EngineSettings,
    *,
    precision: str,
    layers: Mapping[str, str],
    progress: Progress = silent,
) -> None:
    """Build the engine of ``model.onnx`` in `folder`; where a GPU can run it, check it as well.

    Args:
        folder: the bundle that is being written.
        flavor: which TensorRT.
        settings: for which GPUs and batches.
        precision: the model's.
        layers: the chosen lowering by the layer's name.
        progress: a function that gets a line for each step.

    Raises:
        MissingCapabilityError: the flavor cannot build on this machine.
        InputError: TensorRT does not know an operator of the model.
        GateError: TensorRT finds no way to run the model, or the engine does not agree with it.
    """
    trt = flavor.load()
    model, engine = folder / MODEL_NAME, folder / flavor.file_name
    onnx_runtime = OnnxRuntime(model)
    progress(f"building the {flavor.title} engine")
    compiled = [layer for layer, lowering in layers.items() if lowering != "direct"]
    built = build_engine(model, flavor, settings, compiled)
    engine.write_bytes(built.content)
    reproducible = built.fixed_addresses
    if reproducible:
        progress("building it once more, to see whether it comes out the same")
        reproducible = build_engine(model, flavor, settings, compiled).content == built.content
    gpus, _ = find_gpus()
    agrees = _agrees(engine, flavor, onnx_runtime, precision, settings.batches, progress)
    if agrees:
        _write_profile(engine, flavor, onnx_runtime)
    sidecar = EngineSidecar(
        file=flavor.file_name,
        sha256=sha256_of(engine),
        model_sha256=sha256_of(model),
        engine=flavor.engine,
        version=trt.__version__,
        compute_capabilities=list(settings.compute_capabilities)
        if flavor.ahead_of_time
        else [gpus[0].compute_capability],
        precision=precision,
        batches=settings.batches if built.dynamic else None,
        reproducible=reproducible,
        layers=dict(layers),
        checked="parity" if agrees else "built",
    )
    path = folder / flavor.sidecar_name
    path.write_text(sidecar.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_profile(engine: Path, flavor: Flavor, reference: OnnxRuntime) -> None:
    """What the engine is made of, and how long each layer takes for a batch of one, beside the engine."""
    runtime = TensorRT(engine, flavor)
    generator = np.random.default_rng(0)
    feeds = {spec.name: spec.random(1, generator) for spec in reference.inputs}
    reports = {"layers": runtime.layers(), "profile": runtime.profile(feeds, runs=_PROFILED_RUNS)}
    for name, report in reports.items():
        path = engine.with_name(f"{engine.name}.{name}.json")
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _agrees(
    engine: Path,
    flavor: Flavor,
    reference: OnnxRuntime,
    precision: str,
    batches: tuple[int, int, int],
    progress: Progress,
) -> bool:
    """Whether the engine was run and agrees; False where no GPU can run it, or not with the batches 1 and 3.

    Raises:
        GateError: it was run and does not agree.
    """
    if batches[0] > 1 or batches[2] < 3:
        return False
    try:
        runtime = TensorRT(engine, flavor)
    except MissingCapabilityError:
        return False
    progress(f"checking the {flavor.title} engine on the GPU")
    generator = np.random.default_rng(0)
    samples = {spec.name: spec.random(1, generator) for spec in reference.inputs}
    sets = input_sets(reference.run, runtime.inputs, samples, precision)
    name = f"{reference.describe()} on the same model"
    check_parity(runtime, Expectation(reference.run, name, runtime.inputs, sets), precision)
    return True
