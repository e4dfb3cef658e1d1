"""Targets: an engine on a device, on which candidates are measured or estimated."""

from __future__ import annotations

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.absent import DEVICES, AbsentTarget
from dashdeploy.export.targets.base import Target
from dashdeploy.export.targets.cpu import OpenVinoTarget, OrtCpuTarget
from dashdeploy.export.targets.tensorrt import TensorRTTarget
from dashdeploy.runtimes.tensorrt_flavors import RTX, TENSORRT, Flavor

_ON_THIS_CPU: dict[str, type[OrtCpuTarget] | type[OpenVinoTarget]] = {
    OrtCpuTarget.name: OrtCpuTarget,
    OpenVinoTarget.name: OpenVinoTarget,
}

CPU_TARGETS = tuple(_ON_THIS_CPU)
"""Names of the targets that are a CPU."""

_ON_THIS_GPU: dict[str, Flavor] = {"tensorrt": TENSORRT, "tensorrt-rtx": RTX}

__all__ = [
    "CPU_TARGETS",
    "DEVICES",
    "AbsentTarget",
    "OpenVinoTarget",
    "OrtCpuTarget",
    "Target",
    "TensorRTTarget",
    "target_of",
]


def target_of(settings: ExportSettings) -> Target:
    """The target that the settings name.

    Raises:
        InputError: `device` is not a known device, or goes with a target that is this machine's CPU.
        MissingCapabilityError: the engine is not installed, or the device is not here and was to be measured.
    """
    known = ", ".join(DEVICES)
    if settings.target in _ON_THIS_CPU:
        if settings.device is not None:
            raise InputError(f"--device {settings.device}: --target {settings.target} is this machine's CPU")
        return _ON_THIS_CPU[settings.target](settings.threads)
    if settings.device is None and settings.tune == "measure" and settings.target in _ON_THIS_GPU:
        return _on_this_gpu(settings)
    if settings.device is None:
        raise InputError(f"--target {settings.target}: which device? Add --device, one of {known}")
    if settings.device not in DEVICES:
        raise InputError(f"--device {settings.device}: no such device; choose from {known}")
    if settings.tune == "measure":
        raise MissingCapabilityError(
            f"--target {settings.target}: nothing can be measured on a {DEVICES[settings.device].description} "
            "here; plan from its published rates with: --tune estimate"
        )
    return AbsentTarget(settings.target, DEVICES[settings.device])


def _on_this_gpu(settings: ExportSettings) -> Target:
    try:
        return TensorRTTarget(_ON_THIS_GPU[settings.target], settings.batch)
    except MissingCapabilityError as error:
        raise MissingCapabilityError(
            f"--target {settings.target} is measured on this machine's GPU: {error}; plan from the published rates "
            f"of a GPU elsewhere with: --tune estimate --device {next(iter(DEVICES))}"
        ) from error
