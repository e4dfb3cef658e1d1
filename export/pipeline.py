"""Export, from a run or an ONNX file to a bundle.

    frontend -> passes -> plan -> lower -> verify -> gate -> convert -> write

Each step takes values and returns a value; the last one alone writes.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
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
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.conversion.build import Build
from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.conversion.engine_choice import choose_engine
from dashdeploy.export.conversion.precision import convert
from dashdeploy.export.conversion.samples import with_samples
from dashdeploy.export.deploy.deployment_targets import check_deployment_targets, write_deployment_targets
from dashdeploy.export.deploy.fixed_batch import write_fixed_batch
from dashdeploy.export.deploy.model_states import model_states
from dashdeploy.export.deploy.sample_request import write_sample_request
from dashdeploy.export.engines.own_format import write_own_format
from dashdeploy.export.engines.write_engines import raise_for_missing_engines, write_engines
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.external_data import copy_with_external_data
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source, load_source
from dashdeploy.export.native.artifact import check_native, write_native
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.planning.planner import Decisions, choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.export.targets.cpu import OrtCpuTarget
from dashdeploy.export.targets.selection import CPU_TARGETS, target_of
from dashdeploy.export.verify.batch_piece import measure_piece
from dashdeploy.export.verify.batches import fixed_batch
from dashdeploy.export.verify.other_engines import check_in_engines
from dashdeploy.export.verify.parity import expectation
from dashdeploy.export.web.site_manifest import Site
from dashdeploy.export.web.write_site import check_site
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, Options
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_TOOLS = ("dashdeploy", "torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def plan_export(source: Path, settings: ExportSettings, *, progress: Progress = silent) -> Plan:
    """Plan an export and write nothing.

    Args:
        source: a run directory or an ONNX file.
        settings: the user's wishes.
        progress: a function that gets a line for each step.

    Raises:
        InputError: `source` is neither a run nor a valid ONNX model.
        MissingCapabilityError: the target's engine is not installed.
    """
    loaded = load_source(source, settings.input_shapes, progress, ensemble=settings.ensemble)
    _check_precision(loaded, settings)
    settings = _with_program(loaded, settings)
    loaded = _with_samples(loaded, settings, progress)
    direct = prepare(loaded.model)
    if settings.target is TargetName.AUTO:
        return _compiled(direct, loaded, settings, progress)[1].decisions.plan
    target = target_of(settings)
    # A plan is of use for what can be exported: the original runs.
    return Build(direct, loaded, target, progress).checkable(_plan(direct, target, settings, progress)).plan


def export(source: Path, out: Path, settings: ExportSettings, *, progress: Progress = silent) -> Bundle:
    """Compile a run or an ONNX file and write the bundle `out`, or nothing at all.

    Args:
        source: a run directory or an ONNX file.
        out: the bundle's folder; it must not exist.
        settings: the user's wishes.
        progress: a function that gets a line for each step.

    Raises:
        InputError: `source` is neither a run nor a valid ONNX model, or `out` cannot be written.
        MissingCapabilityError: the target's engine is not installed, or an engine that was asked for cannot be
            built on this machine; then the bundle is written without it.
        GateError: the compiled model does not agree with the reference.
    """
    check_writable(out)
    loaded = load_source(source, settings.input_shapes, progress, ensemble=settings.ensemble)
    return export_source(loaded, out, settings, progress=progress)


def export_site(source: Path, settings: ExportSettings, *, progress: Progress = silent) -> Site:
    """Compile a run or an ONNX file and write nothing but the static web site ``settings.artifacts.web``.

    Args:
        source: a run directory or an ONNX file.
        settings: the user's wishes; of the artifacts, the site alone.
        progress: a function that gets a line for each step.

    Raises:
        InputError: as `export`, or another artifact was asked for, which belongs to a bundle.
        MissingCapabilityError: as `export`, or onnxruntime-web is not installed.
        GateError: as `export`, or a model does not say in onnxruntime-web what it says in ONNX Runtime.
    """
    web = settings.artifacts.web
    if web is None or settings.artifacts != ArtifactSettings(web=web):
        raise InputError("only `web` can be written without a bundle; say where the bundle goes with `out`")
    check_site(web)
    with tempfile.TemporaryDirectory(prefix="dashdeploy-") as folder:
        export(source, Path(folder) / (settings.name or source.stem or "model"), settings, progress=progress)
    return Site.load(web)


def export_source(
    source: Source, out: Path, settings: ExportSettings, *, progress: Progress = silent
) -> Bundle:
    """Compile a model that is in memory; otherwise as `export`."""
    if settings.calibration is not None and settings.precision != "int8":
        raise InputError("`calibration` has no effect without `precision=int8`; add that, or leave it out")
    _check_precision(source, settings)
    settings = _with_program(source, settings)
    if settings.artifacts.torchscript or settings.artifacts.pt2:
        from dashdeploy.export.torch.artifacts import check_torch_artifacts

        check_torch_artifacts(source, settings.artifacts)
    check_native(source, settings)
    if settings.artifacts.engine.batches_given:
        settings.artifacts.engine.check_fixed_batch(fixed_batch(OnnxRuntime(serialized(source.model)).inputs))
    check_deployment_targets(settings.artifacts, out)
    states = model_states(lambda: OnnxRuntime(serialized(source.model)), settings.states, progress)
    if settings.target is not TargetName.AUTO:
        target_of(settings)  # what is not here is better known before the samples are read
    source = _with_samples(source, settings, progress)
    direct = prepare(source.model)
    settings, compiled = _compiled(direct, source, settings, progress)
    compiled = _with_batch_piece(compiled, settings, progress)
    return _write(out, compiled, direct, source, settings, states, progress)


def _compiled(
    direct: ir.Model, source: Source, settings: ExportSettings, progress: Progress
) -> tuple[ExportSettings, Compiled]:
    """The verified model for the target, and the settings with the one that was chosen where it is ``auto``."""

    def compile_for(wishes: ExportSettings) -> tuple[Target, Compiled]:
        target = target_of(wishes)
        compiled = _compile(direct, source, target, wishes, progress)
        target.forget_models()
        compiled = convert(compiled, direct, source, wishes, progress)
        on_cpu = wishes.target in CPU_TARGETS and wishes.target is not TargetName.ORT_CPU
        if wishes.precision in ("fp16", "int8") and on_cpu:
            compiled = check_in_engines(compiled, source, [target], wishes, progress)
        if target.runs_modules:  # the portable model has not run yet
            portable = OrtCpuTarget(wishes.threads, wishes.memory)
            compiled = check_in_engines(compiled, source, [portable], wishes, progress)
        return target, compiled

    if settings.target is TargetName.AUTO:
        return choose_engine(settings, compile_for, source, progress=progress)
    return settings, compile_for(settings)[1]


def _compile(
    direct: ir.Model, source: Source, target: Target, settings: ExportSettings, progress: Progress
) -> Compiled:
    """Planned, verified and raced, in float32."""
    decisions = _plan(direct, target, settings, progress)
    target.forget_models()
    build = Build(direct, source, target, progress)
    compiled = build.verified(build.checkable(decisions))
    if compiled.decisions.lowerings and settings.lowering == "auto" and target.present:
        if settings.tune == "measure":
            compiled = build.fastest(compiled)
        compiled = build.raced(compiled)
    return compiled


def _with_program(source: Source, settings: ExportSettings) -> ExportSettings:
    """The settings, with the file that torch runs on a GPU among the artifacts where that is the target.

    Raises:
        InputError: the source is not a run.
    """
    if settings.target is not TargetName.TORCH_CUDA:
        return settings
    if source.module is None:
        raise InputError(
            f"`target=torch-cuda` needs a run: {source.path} is an ONNX model and has no torch module; choose "
            "`target=ort-cuda` or tensorrt"
        )
    artifacts = settings.artifacts.model_copy(update={"pt2": True})
    return settings.model_copy(update={"artifacts": artifacts})


def _with_batch_piece(compiled: Compiled, settings: ExportSettings, progress: Progress) -> Compiled:
    """With the size of the pieces in its plan, where a compiled model is for ONNX Runtime on this machine."""
    in_onnx_runtime = settings.target in (TargetName.ORT_CPU, TargetName.NATIVE)
    if not (compiled.decisions.lowerings and in_onnx_runtime and settings.tune == "measure"):
        return compiled
    runtime = OnnxRuntime(serialized(compiled.model), threads=1)
    piece = measure_piece(runtime, runtime.inputs, runtime.outputs, progress)
    plan = compiled.decisions.plan.model_copy(update={"batch_piece": piece})
    return replace(compiled, decisions=replace(compiled.decisions, plan=plan))


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
    candidates = target.for_candidates()
    cache = TuningCache(candidates.describe())
    decisions = choose_lowerings(find_convolutions(direct), settings, candidates, cache, progress)
    return replace(decisions, plan=decisions.plan.model_copy(update={"device": target.describe()}))


def _write(
    out: Path,
    compiled: Compiled,
    direct: ir.Model,
    source: Source,
    settings: ExportSettings,
    states: dict[str, str],
    progress: Progress,
) -> Bundle:
    """Write the bundle with everything that was asked for beside it."""
    artifacts = settings.artifacts
    plan, lowerings = compiled.decisions.plan, compiled.decisions.lowerings
    with atomic_directory(out) as folder:
        _write_models(folder, compiled, direct, source)
        write_native(folder, direct, source, settings, progress)
        if artifacts.torchscript or artifacts.pt2:
            from dashdeploy.export.torch.artifacts import write_torch_files

            write_torch_files(folder, source, plan, lowerings, artifacts, progress)
        _write_own_format(folder, source, settings, progress)
        write_fixed_batch(folder, artifacts.fixed_batch, progress)
        missing = write_engines(folder, plan, compiled.parity.precision, artifacts, progress)
        _write_manifest(folder, out.name, source, settings, states, compiled.parity.precision)
    bundle = Bundle.load(out)
    write_deployment_targets(bundle, artifacts, progress, name=settings.name)
    raise_for_missing_engines(bundle, missing, artifacts)
    return bundle


def _write_own_format(folder: Path, source: Source, settings: ExportSettings, progress: Progress) -> None:
    engine = ONNX_ENGINES.get(settings.target)
    if engine is None or engine.own_format is None:
        return
    expected = expectation(source, OnnxRuntime(folder / MODEL_NAME).inputs, source.samples)
    options = Options(settings.threads, settings.batch)
    write_own_format(folder, engine, engine.own_format, expected, options, progress=progress)


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
    folder: Path,
    bundle_name: str,
    source: Source,
    settings: ExportSettings,
    states: dict[str, str],
    precision: str,
) -> None:
    runtime = OnnxRuntime(folder / MODEL_NAME)
    write_sample_request(folder, ExampleInputs.of(runtime.run, runtime.inputs), source.samples)
    manifest = Manifest(
        name=settings.name or bundle_name,
        inputs=list(runtime.inputs),
        outputs=list(runtime.outputs),
        labels=source.labels,
        multi_label=source.multi_label,
        target=str(settings.target),
        precision=precision,
        source=source.path.name,
        ensemble=source.members,
        states=states,
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
