"""Adds artefacts to a bundle that is there already, such as an engine on the machine that has the GPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from dashdeploy.artifacts.atomic import atomic_directory, check_writable
from dashdeploy.artifacts.bundle import MANIFEST_NAME, PLAN_NAME, Bundle, write_manifest
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.deploy.artifacts import (
    finishing_command,
    flavours_of,
    hand_over,
    refuse_hand_over,
    refuse_missing,
    write_engines,
)
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.settings import ExportSettings


def is_bundle(path: Path) -> bool:
    """Whether `path` is a bundle, as far as its name for the manifest says."""
    return (path / MANIFEST_NAME).is_file()


def add_artefacts(
    path: Path, out: Path | None, settings: ExportSettings, *, progress: Callable[[str], None]
) -> Bundle:
    """Write a bundle again with more artefacts; the model itself stays as it is.

    Args:
        path: the bundle.
        out: the new bundle; None replaces the old one, which stays in place until the new one is whole.
        settings: the user's wishes, of which the artefacts count.
        progress: told what is being done.

    Raises:
        InputError: the bundle is damaged, nothing was asked for that can be added, or `out` cannot be written.
        MissingCapabilityError: this machine cannot build what was asked for; the bundle stays as it was.
        GateError: an engine cannot be built, or does not agree with the model.
    """
    bundle = Bundle.load(path)
    wanted = settings.artefacts
    _check(path, settings)
    refuse_hand_over(wanted, out or path)
    for flavour in flavours_of(wanted):
        try:
            flavour.load()
        except MissingCapabilityError as error:
            raise MissingCapabilityError(
                f"{error}; {path} stays as it is; finish it on a machine that has all that with: "
                f"{finishing_command(path, [flavour], wanted)}"
            ) from error
    if out is not None:
        check_writable(out)
    if out is not None or flavours_of(wanted):
        plan = Plan.model_validate(bundle.read_json(PLAN_NAME))
        target = out or path
        with atomic_directory(target, replace=out is None) as folder:
            shutil.copytree(path, folder, dirs_exist_ok=True)
            missing = write_engines(folder, plan, bundle.manifest.precision, wanted, progress)
            manifest = bundle.manifest.model_copy(update={"name": settings.name or bundle.manifest.name})
            write_manifest(folder, manifest)
        bundle = Bundle.load(target)
        refuse_missing(bundle, missing, wanted)
    hand_over(bundle, wanted, progress)
    return bundle


def _check(path: Path, settings: ExportSettings) -> None:
    """Refuse what cannot be added to a model that is compiled already."""
    if not settings.artefacts.any:
        raise InputError(
            f"{path} is a bundle already; say what to add to it, such as --trt-rtx, or export the run or the "
            "model that it came from"
        )
    asked = {
        "--torchscript": settings.artefacts.torchscript,
        "--pt2": settings.artefacts.pt2,
        "--precision": settings.precision != "fp32",
        "--input-shape": bool(settings.input_shapes),
        "--lowering": settings.lowering != "auto",
    }
    for option, given in asked.items():
        if given:
            raise InputError(
                f"{option} needs the run or the model that {path} came from: a bundle holds the compiled model alone"
            )
