"""Export, from a run or an ONNX file to a bundle.

    frontend -> passes -> plan -> lower -> verify -> gate -> convert -> write

Each step takes values and returns a value; the last one alone writes.
"""

from __future__ import annotations

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
    SINGLE_NAME,
    Bundle,
    Manifest,
    write_manifest,
)
from dashdeploy.errors import InputError
from dashdeploy.export.conversion.build import Build
from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.conversion.precision import convert
from dashdeploy.export.conversion.samples import with_samples
from dashdeploy.export.deploy.deployment_targets import check_deployment_targets, write_deployment_targets
from dashdeploy.export.deploy.sample_request import write_sample_request
from dashdeploy.export.engines.write_engines import raise_for_missing_engines, write_engines
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.external_data import copy_with_external_data
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source, load_source
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.planning.planner import Decisions, choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.export.targets.selection import target_of
from dashdeploy.export.verify.batches import fixed_batch
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_TOOLS = ("dashdeploy", "torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def plan_export(source: Path, settings: ExportSettings, *, progress: Progress = silent) -> Plan:
    """Plan an export and write nothing.

    Args:
        source: a run directory or an ONNX file.
        settings: the user's wishes.
        progress: told what is being done, a line at a time.

    Raises:
        InputError: `source` is neither a run nor a valid ONNX model.
        MissingCapabilityError: the target's engine is not installed.
    """
    loaded = load_source(source, settings.input_shapes, progress, ensemble=settings.ensemble)
    _check_precision(loaded, settings)
    loaded = _with_samples(loaded, settings, progress)
    direct = prepare(loaded.model)
    target = target_of(settings)
    # A plan is of use for what can be exported: the original runs.
    return Build(direct, loaded, target, progress).checkable(_plan(direct, target, settings, progress)).plan


def export(source: Path, out: Path, settings: ExportSettings, *, progress: Progress = silent) -> Bundle:
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
    check_writable(out)
    loaded = load_source(source, settings.input_shapes, progress, ensemble=settings.ensemble)
    return export_source(loaded, out, settings, progress=progress)


def export_source(
    source: Source, out: Path, settings: ExportSettings, *, progress: Progress = silent
) -> Bundle:
    """Compile a model that is in memory; otherwise as `export`."""
    if settings.calibration is not None and settings.precision != "int8":
        raise InputError("`calibration` has no effect without `precision=int8`; add that, or leave it out")
    _check_precision(source, settings)
    if settings.artifacts.torchscript or settings.artifacts.pt2:
        from dashdeploy.export.torch.artifacts import check_torch_artifacts

        check_torch_artifacts(source, settings.artifacts)
    if settings.artifacts.engine.batches_given:
        settings.artifacts.engine.check_fixed_batch(fixed_batch(OnnxRuntime(serialized(source.model)).inputs))
    check_deployment_targets(settings.artifacts, out)
    target = target_of(settings)
    source = _with_samples(source, settings, progress)
    direct = prepare(source.model)
    compiled = _compile(direct, source, target, settings, progress)
    target.forget_models()
    compiled = convert(compiled, direct, source, settings, progress)
    return _write(out, compiled, direct, source, settings, progress)


def _compile(
    direct: ir.Model, source: Source, target: Target, settings: ExportSettings, progress: Progress
) -> Compiled:
    """Planned, verified and raced, in float32."""
    decisions = _plan(direct, target, settings, progress)
    target.forget_models()
    build = Build(direct, source, target, progress)
    compiled = build.verified(build.checkable(decisions))
    if compiled.decisions.lowerings and settings.lowering == "auto" and target.present:
        compiled = build.raced(compiled)
    return compiled


def _check_precision(source: Source, settings: ExportSettings) -> None:
    if settings.precision != "fp32" and source.precision != "fp32":
        raise InputError(
            f"`precision={settings.precision}`: {source.path} computes in {source.precision} already, at least "
            "in part, and keeps its precision; leave `precision` out, or export the model in float32"
        )


def _with_samples(source: Source, settings: ExportSettings, progress: Progress) -> Source:
    if settings.samples is None:
        return source
    return with_samples(source, settings.samples, OnnxRuntime(serialized(source.model)).inputs, progress)


def _plan(direct: ir.Model, target: Target, settings: ExportSettings, progress: Progress) -> Decisions:
    cache = TuningCache(target.describe())
    return choose_lowerings(find_convolutions(direct), settings, target, cache, progress)


def _write(
    out: Path,
    compiled: Compiled,
    direct: ir.Model,
    source: Source,
    settings: ExportSettings,
    progress: Progress,
) -> Bundle:
    """Write the bundle with everything that was asked for beside it."""
    artifacts = settings.artifacts
    plan, lowerings = compiled.decisions.plan, compiled.decisions.lowerings
    with atomic_directory(out) as folder:
        _write_models(folder, compiled, direct, source)
        if artifacts.torchscript or artifacts.pt2:
            from dashdeploy.export.torch.artifacts import write_torch_files

            write_torch_files(folder, source, plan, lowerings, artifacts, progress)
        missing = write_engines(folder, plan, compiled.parity.precision, artifacts, progress)
        _write_manifest(folder, out.name, source, settings, compiled.parity.precision)
    bundle = Bundle.load(out)
    write_deployment_targets(bundle, artifacts, progress, name=settings.name)
    raise_for_missing_engines(bundle, missing, artifacts)
    return bundle


def _write_models(folder: Path, compiled: Compiled, direct: ir.Model, source: Source) -> None:
    ir.save(compiled.model, folder / MODEL_NAME)
    (folder / DIRECT_NAME).parent.mkdir()
    if source.original is None:
        ir.save(direct, folder / DIRECT_NAME)
    else:
        copy_with_external_data(source.path, source.original, folder / DIRECT_NAME)
    for name, baseline in ((BACKBONE_NAME, source.backbone), (SINGLE_NAME, source.single)):
        if baseline is not None:
            ir.save(prepare(baseline), folder / name)
    for name, paper in ((PLAN_NAME, compiled.decisions.plan), (PARITY_NAME, compiled.parity)):
        (folder / name).write_text(paper.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_manifest(
    folder: Path, bundle_name: str, source: Source, settings: ExportSettings, precision: str
) -> None:
    runtime = OnnxRuntime(folder / MODEL_NAME)
    write_sample_request(folder, ExampleInputs.of(runtime.run, runtime.inputs), source.samples)
    manifest = Manifest(
        name=settings.name or bundle_name,
        inputs=list(runtime.inputs),
        outputs=list(runtime.outputs),
        labels=source.labels,
        target=str(settings.target),
        precision=precision,
        source=source.path.name,
        ensemble=source.members,
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
