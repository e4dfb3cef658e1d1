"""What a bundle holds besides the ONNX model: written while the bundle is, or added to it later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dashdeploy.bundle import Bundle
from dashdeploy.errors import MissingCapabilityError
from dashdeploy.export.artefact_settings import ArtefactSettings
from dashdeploy.export.engines.artefact import write_engine
from dashdeploy.export.plan import Plan
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


def refuse_missing(bundle: Bundle, missing: dict[Flavour, str]) -> None:
    """End an export whose engines could not all be built, with the command that finishes it elsewhere.

    Raises:
        MissingCapabilityError: something is missing.
    """
    if missing:
        options = " ".join(flavour.option for flavour in missing)
        raise MissingCapabilityError(
            f"{'; '.join(missing.values())}; the bundle without the engine is at {bundle.path}: take it to a "
            f"machine that has all that and finish there with: dashdeploy export {bundle.path} {options}"
        )
