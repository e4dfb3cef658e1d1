"""Adds artifacts to a bundle that is there already, such as an engine on the machine that has the GPU."""

from __future__ import annotations

import shutil
from pathlib import Path

from dashdeploy.artifacts.atomic import atomic_directory, check_writable
from dashdeploy.artifacts.bundle import MANIFEST_NAME, MODEL_NAME, PLAN_NAME, Bundle, write_manifest
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.deploy.deployment_targets import check_deployment_targets, write_deployment_targets
from dashdeploy.export.deploy.fixed_batch import write_fixed_batch
from dashdeploy.export.deploy.model_states import model_states
from dashdeploy.export.engines.write_engines import (
    finishing_call,
    raise_for_missing_engines,
    requested_flavors,
    write_engines,
)
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.batches import fixed_batch
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


def is_bundle(path: Path) -> bool:
    """Whether `path` is a bundle, as far as its name for the manifest says."""
    return (path / MANIFEST_NAME).is_file()


def add_artifacts(
    path: Path, out: Path | None, settings: ExportSettings, *, progress: Progress = silent
) -> Bundle:
    """Write a bundle again with more artifacts; the model itself stays as it is.

    Args:
        path: the bundle.
        out: the new bundle; None replaces the old one, which stays in place until the new one is whole.
        settings: the user's wishes, of which the artifacts count.
        progress: a function that gets a line for each step.

    Raises:
        InputError: the bundle is damaged, nothing was asked for that can be added, or `out` cannot be written.
        MissingCapabilityError: this machine cannot build what was asked for; the bundle stays as it was.
        GateError: an engine cannot be built, or does not agree with the model.
    """
    bundle = Bundle.load(path)
    wanted = settings.artifacts
    _check(path, settings)
    wanted.engine.check_fixed_batch(fixed_batch(bundle.manifest.inputs))
    check_deployment_targets(wanted, out or path)
    states = dict(bundle.manifest.states)
    if settings.states:
        states = model_states(lambda: OnnxRuntime(path / MODEL_NAME), settings.states, progress)
    for flavor in requested_flavors(wanted):
        try:
            flavor.load()
        except MissingCapabilityError as error:
            raise MissingCapabilityError(
                f"{error}; {path} stays as it is; finish it on a machine that has all that with: "
                f"{finishing_call(path, [flavor], wanted)}"
            ) from error
    if out is not None:
        check_writable(out)
    files = requested_flavors(wanted) or wanted.fixed_batch is not None
    if out is not None or files or states != bundle.manifest.states:
        plan = Plan.model_validate(bundle.read_json(PLAN_NAME))
        target = out or path
        with atomic_directory(target, replace=out is None) as folder:
            shutil.copytree(path, folder, dirs_exist_ok=True)
            write_fixed_batch(folder, wanted.fixed_batch, progress)
            missing = write_engines(folder, plan, bundle.manifest.precision, wanted, progress)
            manifest = bundle.manifest.model_copy(
                update={"name": settings.name or bundle.manifest.name, "states": states}
            )
            write_manifest(folder, manifest)
        bundle = Bundle.load(target)
        raise_for_missing_engines(bundle, missing, wanted)
    write_deployment_targets(bundle, wanted, progress, name=settings.name)
    return bundle


def _check(path: Path, settings: ExportSettings) -> None:
    """Refuse what cannot be added to a model that is compiled already."""
    if not settings.artifacts.any and not settings.states:
        raise InputError(
            f"{path} is a bundle already; say what to add to it, such as `trt_rtx=True`, or export the run or the "
            "model that it came from"
        )
    defaults = ExportSettings()
    fields = [name for name in ExportSettings.model_fields if name not in ("name", "states", "artifacts")]
    asked = [name for name in fields if getattr(settings, name) != getattr(defaults, name)]
    asked += [name for name in ("torchscript", "pt2") if getattr(settings.artifacts, name)]
    if asked:
        raise InputError(
            f"`{asked[0]}` needs the run or the model that {path} came from: a bundle holds the compiled model alone"
        )
