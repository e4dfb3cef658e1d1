"""Export, from a run or an ONNX file to a bundle: read, plan, compile, verify, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnx_ir as ir

from dashdeploy.artifacts.atomic import atomic_directory, check_writable
from dashdeploy.artifacts.bundle import (
    BACKBONE_NAME,
    DIRECT_NAME,
    MODEL_NAME,
    PARITY_NAME,
    PLAN_NAME,
    Bundle,
    Manifest,
    write_manifest,
)
from dashdeploy.export.deploy.deployment_targets import check_deployment_targets, write_deployment_targets
from dashdeploy.export.deploy.sample_request import write_sample_request
from dashdeploy.export.engines.write_engines import raise_for_missing_engines, write_engines
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.external_data import copy_with_external_data
from dashdeploy.export.frontend.serialized import serialized
from dashdeploy.export.frontend.source import Source, load_source
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.passes.lower_convolutions import compile_model
from dashdeploy.export.planning.plan import Plan, all_direct
from dashdeploy.export.planning.plan_refinement import repair
from dashdeploy.export.planning.planner import Decisions, choose_lowerings
from dashdeploy.export.planning.tuning_cache import CostTable
from dashdeploy.export.precision import convert
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.selection import target_of
from dashdeploy.export.torch.artifacts import check_torch_artifacts, write_torch_files
from dashdeploy.export.verify.parity import Parity, check_parity
from dashdeploy.export.verify.speed_gate import race
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Progress = Callable[[str], None]

_TOOLS = ("dashdeploy", "torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def plan_export(source: Path, settings: ExportSettings, *, progress: Progress | None = None) -> Plan:
    """Plan an export and write nothing.

    Args:
        source: a run directory or an ONNX file.
        settings: the user's wishes.
        progress: told what is being done, a line at a time.

    Raises:
        InputError: `source` is neither a run nor a valid ONNX model.
        MissingCapabilityError: the target's engine is not installed.
    """
    say = progress or _silent
    return _plan(load_source(source, settings.input_shapes, say), settings, say).plan


def export(source: Path, out: Path, settings: ExportSettings, *, progress: Progress | None = None) -> Bundle:
    """Compile a run or an ONNX file and write the bundle `out`, or nothing at all.

    Args:
        source: a run directory or an ONNX file.
        out: the bundle's folder; it must not exist.
        settings: the user's wishes.
        progress: told what is being done, a line at a time.

    Raises:
        InputError: `source` is neither a run nor a valid ONNX model, or `out` cannot be written.
        MissingCapabilityError: the target's engine is not installed, or an engine that was asked for cannot be
            built on this machine; then the bundle is written without it.
        GateError: the compiled model does not agree with the reference.
    """
    say = progress or _silent
    check_writable(out)
    return export_source(load_source(source, settings.input_shapes, say), out, settings, progress=say)


def export_source(
    source: Source, out: Path, settings: ExportSettings, *, progress: Progress | None = None
) -> Bundle:
    """Compile a model that is in memory; otherwise as `export`."""
    say = progress or _silent
    check_torch_artifacts(source, settings.artifacts)
    check_deployment_targets(settings.artifacts, out)
    decisions = _plan(source, settings, say)
    compiled = _compile(source, decisions, settings, say)
    with atomic_directory(out) as folder:
        _write(folder, source, compiled)
        artifacts = settings.artifacts
        write_torch_files(folder, source, compiled.plan, compiled.lowerings, artifacts, say)
        missing = write_engines(folder, compiled.plan, settings.precision, artifacts, say)
        _write_manifest(folder, out.name, source, settings)
    bundle = Bundle.load(out)
    write_deployment_targets(bundle, settings.artifacts, say)
    raise_for_missing_engines(bundle, missing, settings.artifacts)
    return bundle


@dataclass(frozen=True)
class _Compiled:
    """A verified model with its papers."""

    model: ir.Model
    plan: Plan
    parity: Parity
    lowerings: Mapping[str, Lowering]


def _plan(source: Source, settings: ExportSettings, say: Progress) -> Decisions:
    target = target_of(settings)
    table = CostTable(target.describe())
    return choose_lowerings(find_convolutions(source.model), settings, target, table, say)


def _compile(source: Source, decisions: Decisions, settings: ExportSettings, say: Progress) -> _Compiled:
    """Compile, check parity, and race against all-direct; what loses is repaired, or ships direct."""
    plan, model = decisions.plan, source.model
    target = target_of(settings)
    if decisions.lowerings:
        model = compile_model(source.model, decisions.lowerings, decisions.merged)
    runtime = target.load(serialized(model))
    say("checking that the compiled model agrees with the reference")
    parity = _check(runtime, source)
    if decisions.lowerings and settings.lowering == "auto" and target.present:
        say("timing the compiled model against the all-direct one")
        direct = target.load(serialized(source.model))
        gate = race(direct, runtime)
        plan = plan.model_copy(update={"speed": gate})
        if gate.shipped == "direct":
            say(f"the compiled model is only {gate.speedup:.2f} times as fast: trying fewer compiled layers")
            repaired = repair(
                decisions, lambda fewer: race(direct, target.load(_compiled_bytes(source, fewer)))
            )
            if repaired is None:
                say("no part of the plan makes the whole model faster: shipping all-direct")
                model, plan = source.model, all_direct(plan, gate.speedup)
                parity = _check(direct, source)
            else:
                decisions, gate = repaired
                kept = ", ".join(decisions.lowerings)
                say(f"with {kept} alone the model is {gate.speedup:.2f} times as fast: shipping that")
                plan = decisions.plan.model_copy(update={"speed": gate})
                model = compile_model(source.model, decisions.lowerings, decisions.merged)
                parity = _check(target.load(serialized(model)), source)
    if settings.precision != "fp32":
        converted = convert(model, plan, source, settings, say)
        model, plan, parity = converted.model, converted.plan, converted.parity
    lowerings = decisions.lowerings if plan.compiled_layers else {}
    return _Compiled(model, plan, parity, lowerings)


def _compiled_bytes(source: Source, decisions: Decisions) -> bytes:
    return serialized(compile_model(source.model, decisions.lowerings, decisions.merged))


def _check(runtime: Runtime, source: Source) -> Parity:
    return check_parity(
        runtime, source.reference, source.reference_name, source.samples, targets=source.targets
    )


def _write(folder: Path, source: Source, compiled: _Compiled) -> None:
    ir.save(compiled.model, folder / MODEL_NAME)
    (folder / DIRECT_NAME).parent.mkdir()
    if source.original is None:
        ir.save(source.model, folder / DIRECT_NAME)
    else:
        copy_with_external_data(source.path, source.original, folder / DIRECT_NAME)
    if source.backbone is not None:
        ir.save(source.backbone, folder / BACKBONE_NAME)
    (folder / PLAN_NAME).write_text(compiled.plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / PARITY_NAME).write_text(compiled.parity.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_manifest(folder: Path, bundle_name: str, source: Source, settings: ExportSettings) -> None:
    runtime = OnnxRuntime(folder / MODEL_NAME)
    write_sample_request(folder, runtime.inputs, source.samples)
    manifest = Manifest(
        name=settings.name or bundle_name,
        inputs=list(runtime.inputs),
        outputs=list(runtime.outputs),
        labels=source.labels,
        target=settings.target,
        precision=settings.precision,
        source=source.path.name,
        tools=_tool_versions(),
        files={},
    )
    write_manifest(folder, manifest)


def _tool_versions() -> dict[str, str]:
    versions = {}
    for package in _TOOLS:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _silent(message: str) -> None:
    """Report to nobody."""
    del message
