"""What a bundle holds besides the ONNX model: written while the bundle is, or added to it later."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.artifact_settings import ArtefactSettings
from dashdeploy.export.deploy.kserve import check_storage_uri, write_kserve
from dashdeploy.export.deploy.triton import write_triton_repository
from dashdeploy.export.deploy.triton_config import messages
from dashdeploy.export.engines.artifact import write_engine
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.planning.plan import Plan
from dashdeploy.runtimes.tensorrt_flavours import RTX, TENSORRT, Flavour

Progress = Callable[[str], None]


def flavours_of(settings: ArtefactSettings) -> list[Flavour]:
    """The engines that were asked for."""
    return [flavour for flavour, wanted in ((RTX, settings.trt_rtx), (TENSORRT, settings.trt)) if wanted]


def write_engines(
    folder: Path, plan: Plan, precision: str, settings: ArtefactSettings, say: Progress
) -> dict[Flavour, str]:
    """Build the engines that were asked for into the bundle that is being written.

    Args:
        folder: where it is written; it holds the ONNX model.
        plan: how its layers are computed.
        precision: the ONNX model's.
        settings: the user's wishes.
        say: told what is being done.

    Returns:
        Why a flavour cannot be built on this machine, by flavour; the rest of the bundle is whole without it.

    Raises:
        InputError: TensorRT does not know an operator of the model.
        GateError: TensorRT finds no way to run the model, or the engine does not agree with it.
    """
    layers = {layer.name: layer.chosen for layer in plan.layers}
    missing = {}
    for flavour in flavours_of(settings):
        try:
            write_engine(folder, flavour, settings.engine, precision=precision, layers=layers, progress=say)
        except MissingCapabilityError as error:
            missing[flavour] = str(error)
    return missing


def hand_over(bundle: Bundle, settings: ArtefactSettings, say: Progress) -> None:
    """Write what engines that scale are given: a Triton repository, an InferenceService of KServe.

    Raises:
        InputError: something cannot be written; the bundle stays.
    """
    if settings.triton_repository is not None:
        write_triton_repository(bundle, settings.triton_repository, settings.engine.batches, say)
    if settings.kserve is not None:
        say(f"writing {settings.kserve}")
        write_kserve(bundle, settings.kserve, settings.storage_uri, settings.engine.batches[2])


def refuse_hand_over(settings: ArtefactSettings, bundle: Path) -> None:
    """Find out before long work whether `hand_over` can do what is asked for.

    Args:
        settings: the user's wishes.
        bundle: where the bundle is, or will be.

    Raises:
        InputError: a place cannot be written or is within the bundle, or KServe does not know the storage.
        MissingCapabilityError: tritonclient is not installed.
    """
    if settings.triton_repository is not None:
        messages()
        if settings.triton_repository.exists() and not settings.triton_repository.is_dir():
            raise InputError(
                f"--triton-repository {settings.triton_repository} is no folder; name another one"
            )
    if settings.kserve is not None:
        check_storage_uri(settings.storage_uri)
        if settings.kserve.is_dir() or not settings.kserve.absolute().parent.is_dir():
            raise InputError(f"--kserve {settings.kserve}: name a file in a folder that is there")
    places = (("--triton-repository", settings.triton_repository), ("--kserve", settings.kserve))
    for option, place in places:
        if place is not None and place.resolve().is_relative_to(bundle.resolve()):
            raise InputError(
                f"{option} {place} is within the bundle, which holds its own files only; name another place"
            )


def finishing_command(bundle: Path, flavours: Iterable[Flavour], settings: ArtefactSettings) -> str:
    """What builds the engines that are missing, on a machine that can."""
    words = ["dashdeploy", "export", str(bundle), *(flavour.option for flavour in flavours)]
    if settings.engine.batches != EngineSettings().batches:
        words += ["--engine-batches", ",".join(map(str, settings.engine.batches))]
    if settings.triton_repository is not None:
        words += ["--triton-repository", str(settings.triton_repository)]
    return shlex.join(words)


def refuse_missing(bundle: Bundle, missing: dict[Flavour, str], settings: ArtefactSettings) -> None:
    """End an export whose engines could not all be built, with the command that finishes it elsewhere.

    Raises:
        MissingCapabilityError: something is missing.
    """
    if missing:
        command = finishing_command(bundle.path, missing, settings)
        raise MissingCapabilityError(
            f"{'; '.join(missing.values())}; the bundle without the engine is at {bundle.path}: take it to a "
            f"machine that has all that and finish there with: {command}"
        )
