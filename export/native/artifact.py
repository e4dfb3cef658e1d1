"""Writes ``model.native.onnx`` and its sidecar into a bundle's folder: planned, checked for parity, and raced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.bundle import DIRECT_NAME, MODEL_NAME, NATIVE_NAME
from dashdeploy.errors import InputError
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.native.planning import plan_native
from dashdeploy.export.passes.sequence import to_native
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.parity import expectation, measure_parity, source_tolerance
from dashdeploy.machine import cpu_model
from dashdeploy.progress import Progress
from dashdeploy.runtimes.base import Call, Runtime
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.native.graph_file import NativeSidecar
from dashdeploy.runtimes.native.library import load_library
from dashdeploy.runtimes.native.model import NativeModel
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.timing import interleaved, ratio_of

_SECONDS = 2.0


def check_native(source: Source, settings: ExportSettings) -> None:
    """Refuse early what cannot be written.

    Raises:
        MissingCapabilityError: the native kernels are not built.
        InputError: the model or the settings are not in float32.
    """
    if settings.target is not TargetName.NATIVE:
        return
    load_library()
    if settings.precision != "fp32":
        raise InputError(
            f"`target=native` computes in float32, and `precision={settings.precision}` is another; leave one out"
        )
    if source.precision != "fp32":
        raise InputError(f"`target=native` computes in float32, and {source.path} in {source.precision}")


def write_native(
    folder: Path, direct: ir.Model, source: Source, settings: ExportSettings, progress: Progress
) -> None:
    """Write the native model, if it is the fastest of the bundle's.

    Args:
        folder: the bundle that is being written; it holds ``model.onnx`` and the all-direct model.
        direct: the all-direct model.
        source: what it must agree with.
        settings: the user's wishes.
        progress: told what is being done.
    """
    if settings.target is not TargetName.NATIVE:
        return
    plan = plan_native(find_convolutions(direct), settings, progress)
    if not plan.choices:
        progress(
            f"no native kernel computes a convolution of this model; {MODEL_NAME} is what the bundle runs"
        )
        return
    tolerance = source_tolerance(source.precision)
    try:
        model = serialized(to_native(direct, plan.choices, plan.fusion_groups))
        runtime = NativeModel(model, threads=settings.threads)
        expected = expectation(source, runtime.inputs, source.samples)
        parity, _ = measure_parity(runtime, expected, source.precision, tolerance=tolerance)
    except InputError as error:
        progress(f"no {NATIVE_NAME}: {error}; {MODEL_NAME} is what the bundle runs")
        return
    if parity.failed:
        progress(f"no {NATIVE_NAME}: it differs from {parity.reference} by {parity.worst:.1e}")
        return
    others = {
        name: OnnxRuntime(folder / name, threads=settings.threads) for name in (DIRECT_NAME, MODEL_NAME)
    }
    milliseconds, speedup, over_portable = _race(runtime, others, source, settings, progress)
    if speedup <= 1 or over_portable <= 1:
        progress(
            f"no {NATIVE_NAME}: it is {speedup:.2f} times as fast as all-direct and {over_portable:.2f} times as "
            f"{MODEL_NAME}, which is what the bundle runs"
        )
        return
    (folder / NATIVE_NAME).write_bytes(model)
    sidecar = NativeSidecar(
        file=NATIVE_NAME,
        sha256=sha256_of(folder / NATIVE_NAME),
        direct_sha256=sha256_of(folder / DIRECT_NAME),
        instructions=runtime.instructions,
        processor=cpu_model(),
        threads=settings.threads,
        layers=plan.layers,
        max_relative_error=parity.worst,
        tolerance=tolerance,
        packed_bytes=runtime.packed_bytes,
        direct_ms=milliseconds[DIRECT_NAME],
        portable_ms=milliseconds[MODEL_NAME],
        native_ms=milliseconds[NATIVE_NAME],
        speedup=speedup,
    )
    (folder / f"{NATIVE_NAME}.json").write_text(sidecar.model_dump_json(indent=2) + "\n", encoding="utf-8")
    progress(
        f"{NATIVE_NAME}: {speedup:.2f} times as fast as all-direct, {over_portable:.2f} times as {MODEL_NAME}"
    )


def _race(
    native: NativeModel,
    others: dict[str, OnnxRuntime],
    source: Source,
    settings: ExportSettings,
    progress: Progress,
) -> tuple[dict[str, float], float, float]:
    """Milliseconds by file, and how many times as fast as all-direct and as the portable model the native one is."""
    progress("timing the native model against the all-direct and the portable one")
    runtimes: dict[str, Runtime] = {**others, NATIVE_NAME: native}
    feeds = ExampleInputs.to_time(native, source.samples, settings.batch)
    calls = {name: Call(runtime, feeds) for name, runtime in runtimes.items()}
    times = interleaved(calls, seconds=_SECONDS, min_rounds=20, settle=True)
    milliseconds = {name: float(np.median(each)) * 1e3 for name, each in times.items()}
    ratios = [ratio_of(times[name], times[NATIVE_NAME]).median for name in (DIRECT_NAME, MODEL_NAME)]
    return milliseconds, ratios[0], ratios[1]
