"""Converts a verified float32 model to another precision, and verifies it against the same reference again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.frontend.calibration import load_calibration
from dashdeploy.export.frontend.serialized import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.passes.convert_to_fp16 import COMPILED_IN_FP16, to_fp16
from dashdeploy.export.passes.quantize import to_int8
from dashdeploy.export.passes.simulate_fp16 import with_roundings
from dashdeploy.export.planning.plan import Plan, all_direct
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.selection import CPU_TARGETS
from dashdeploy.export.verify.batches import fixed_batch
from dashdeploy.export.verify.parity import Parity, check_parity
from dashdeploy.export.verify.speed_gate import race
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Progress = Callable[[str], None]

_CONV_NODES = {Direct().label, Trimmed().label, "merged"}
"""Layers that are operators Conv, or part of another layer; all others are many operators."""


@dataclass(frozen=True)
class Converted:
    """A model in the precision that was asked for, with its papers."""

    model: ir.Model
    plan: Plan
    parity: Parity


def convert(
    model: ir.Model, plan: Plan, source: Source, settings: ExportSettings, say: Progress
) -> Converted:
    """Convert the compiled model to `settings.precision`, fp16 or int8.

    Args:
        model: the compiled model, in float32.
        plan: how its layers are computed.
        source: what it was compiled from.
        settings: the user's wishes.
        say: told what is being done.

    Raises:
        InputError: int8 has nothing to calibrate on.
        GateError: the converted model does not agree with the float32 reference.
    """
    say(f"converting to {settings.precision}")
    if settings.precision == "fp16":
        return _half(model, plan, source, settings)
    return _integers(model, plan, source, settings, say)


def _half(model: ir.Model, plan: Plan, source: Source, settings: ExportSettings) -> Converted:
    """As much in half precision as parity allows."""
    written = any(layer.chosen not in _CONV_NODES for layer in plan.layers)
    parts = COMPILED_IN_FP16 if written else COMPILED_IN_FP16[:1]
    for part in parts:
        half = to_fp16(model, plan.compiled_layers, part)
        try:
            parity = _check_half(half, source, settings)
        except GateError:
            if part == parts[-1]:
                raise
            continue
        update = {"compiled_in_fp16": part if len(parts) > 1 else None}
        return Converted(half, plan, parity.model_copy(update=update))
    raise AssertionError("the last part is returned or raised")


def _check_half(half: ir.Model, source: Source, settings: ExportSettings) -> Parity:
    """As ONNX Runtime computes it, and as an engine does that rounds what every operator writes."""
    parity = _check(half, source, source.samples, settings)
    rounded = _check(with_roundings(half), source, source.samples, settings)
    entries = [
        entry.model_copy(update={"inputs": f"{entry.inputs}, every operator rounded"})
        for entry in rounded.outputs
    ]
    return rounded.model_copy(update={"outputs": [*parity.outputs, *entries]})


def _integers(
    model: ir.Model, plan: Plan, source: Source, settings: ExportSettings, say: Progress
) -> Converted:
    calibration: dict[str, Array] = dict(source.samples)
    inputs = OnnxRuntime(serialized(source.model)).inputs
    if settings.calibration is not None:
        calibration = load_calibration(settings.calibration, inputs)
    if not calibration:
        raise InputError(
            "--precision int8 needs data to calibrate on: give --calibration FILE.npz with an array per input"
        )
    batch, cpu = fixed_batch(inputs), settings.target in CPU_TARGETS
    quantized = to_int8(model, plan.compiled_layers, calibration, batch, seven_bit_weights=cpu)
    if plan.compiled_layers and settings.lowering == "auto":
        # Convolutions of eight bits are quick, FFT convolutions stay float32: who wins is decided again.
        direct = to_int8(source.model, [], calibration, batch, seven_bit_weights=cpu)
        say("timing the compiled model against the all-direct one, both in int8")
        gate = race(_runtime(direct, settings), _runtime(quantized, settings))
        plan = plan.model_copy(update={"speed": gate})
        if gate.shipped == "direct":
            say(f"in int8 the compiled model is only {gate.speedup:.2f} times as fast: shipping all-direct")
            quantized, plan = direct, all_direct(plan, gate.speedup)
    parity = _check(quantized, source, source.samples or calibration, settings)
    return Converted(quantized, plan, parity)


def _check(model: ir.Model, source: Source, samples: dict[str, Array], settings: ExportSettings) -> Parity:
    return check_parity(
        _runtime(model, settings),
        source.reference,
        source.reference_name,
        samples,
        settings.precision,
        targets=source.targets,
        max_accuracy_drop=settings.max_accuracy_drop,
    )


def _runtime(model: ir.Model, settings: ExportSettings) -> OnnxRuntime:
    return OnnxRuntime(serialized(model), threads=settings.threads)
