"""Converts a verified float32 model to another precision, and verifies it against the same reference again."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from dashdeploy.errors import InputError
from dashdeploy.export.conversion.calibration import load_calibration
from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.conversion.half_precision import to_half_precision
from dashdeploy.export.conversion.samples import check_runs
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.passes.sequence import to_int8
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.selection import CPU_TARGETS
from dashdeploy.export.verify.batches import fixed_batch
from dashdeploy.export.verify.parity import check_parity, expectation
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.export.verify.speed_gate import pass_speed_gate
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


def convert(
    compiled: Compiled,
    direct: ir.Model,
    source: Source,
    settings: ExportSettings,
    progress: Progress = silent,
) -> Compiled:
    """Convert a compiled model to `settings.precision`; float32 stays as it is.

    Args:
        compiled: in float32.
        direct: the all-direct model, in float32.
        source: what both come from.
        settings: the user's wishes.
        progress: a function that gets a line for each step.

    Raises:
        InputError: int8 has nothing to calibrate on, or fp16 meets control flow.
        GateError: the converted model does not agree with the float32 reference.
    """
    if settings.precision in ("fp32", "bf16"):  # an engine that computes in bfloat16 takes the model as it is
        return compiled
    progress(f"converting to {settings.precision}")
    if settings.precision == "fp16":
        return to_half_precision(compiled, source, settings, progress)
    return _to_int8(compiled, direct, source, settings, progress)


def _to_int8(
    compiled: Compiled, direct: ir.Model, source: Source, settings: ExportSettings, progress: Progress
) -> Compiled:
    decisions = compiled.decisions
    calibration: Mapping[str, Array] = source.samples
    inputs = OnnxRuntime(serialized(direct)).inputs
    if settings.calibration is not None:
        calibration = load_calibration(settings.calibration, inputs)
        first = ExampleInputs(tuple(inputs)).first(calibration, fixed_batch(inputs) or 1)
        check_runs(source, "calibration", settings.calibration, inputs, first)
    if not calibration:
        raise InputError(
            "`precision=int8` needs data to calibrate on: give `samples=FILE.npz` with an array per input"
        )
    batch, on_cpu = fixed_batch(inputs), settings.target in CPU_TARGETS

    def quantized(model: ir.Model, compiled_layers: list[str]) -> ir.Model:
        return to_int8(model, compiled_layers, calibration, batch, seven_bit_weights=on_cpu)

    model = quantized(compiled.model, decisions.plan.compiled_layers)
    if decisions.lowerings and settings.lowering == "auto":
        # Convolutions of eight bits are quick, FFT convolutions stay float32: who wins is decided again. Nothing is
        # refined, because each step of it would be calibrated anew.
        direct_model = quantized(direct, [])
        decisions = pass_speed_gate(
            decisions,
            _runtime(direct_model, settings),
            _runtime(model, settings),
            samples=source.samples,
            precision=settings.precision,
            progress=progress,
        )
        if not decisions.lowerings:
            model = direct_model
    return Compiled(model, decisions, _check(model, source, source.samples or calibration, settings))


def _check(model: ir.Model, source: Source, samples: Mapping[str, Array], settings: ExportSettings) -> Parity:
    runtime = _runtime(model, settings)
    return check_parity(
        runtime,
        expectation(source, runtime.inputs, samples, settings.precision),
        settings.precision,
        targets=source.targets,
        max_accuracy_drop=settings.max_accuracy_drop,
    )


def _runtime(model: ir.Model, settings: ExportSettings) -> OnnxRuntime:
    return OnnxRuntime(serialized(model), threads=settings.threads)
