"""Which target an export's settings name."""

from __future__ import annotations

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.absent import DEVICES, AbsentTarget
from dashdeploy.export.targets.base import Target
from dashdeploy.export.targets.cpu import OpenVinoTarget, OrtCpuTarget
from dashdeploy.export.targets.on_this_gpu import OrtCudaTarget, TorchCudaTarget
from dashdeploy.export.targets.onnx_engine import OnnxEngineTarget
from dashdeploy.export.targets.tensorrt import TensorRTTarget
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.tensorrt_flavors import RTX, TENSORRT, Flavor

CPU_TARGETS = tuple(name for name in TargetName if name in ONNX_ENGINES or name is TargetName.NATIVE)
"""The targets that are this machine's CPU."""

_FLAVORS: dict[TargetName, Flavor] = {
    TargetName.TENSORRT: TENSORRT,
    TargetName.TENSORRT_RTX: RTX,
}


def target_of(settings: ExportSettings) -> Target:
    """The target that the settings name.

    Raises:
        InputError: `device` is not a known device, or goes with a target that is this machine's CPU; or the target
            does not compute in the precision.
        MissingCapabilityError: the engine is not installed, or the device is not here and was to be measured.
    """
    known = ", ".join(DEVICES)
    name, device = settings.target, settings.device
    if name is TargetName.AUTO:
        raise InputError("`target=auto` is for the export of whole models; name one engine here")
    if settings.engines:
        raise InputError("`engines` has no effect without `target=auto`; add that, or leave it out")
    if settings.precision == "bf16" and name is not TargetName.OPENVINO:
        raise InputError(
            f"`precision=bf16`: `target={name}` has no bfloat16; choose `target=openvino`, or another precision"
        )
    if name in CPU_TARGETS:
        engine = ONNX_ENGINES.get(name)  # the native kernels run no ONNX model
        if engine is not None and engine.own_format is not None and settings.precision != "fp32":
            raise InputError(
                f"`precision={settings.precision}`: `target={name}` takes float32; leave `precision` out"
            )
        if device is not None:
            raise InputError(f"`device={device}`: `target={name}` is this machine's CPU")
        return _on_this_cpu(settings)
    if name is TargetName.TORCH_CUDA and settings.precision != "fp32":
        raise InputError(
            f"`precision={settings.precision}`: `target=torch-cuda` is planned and checked in float32; leave "
            "`precision` out"
        )
    if device is None and settings.tune == "measure":
        measured = _on_this_gpu(settings)
        if measured is not None:
            return measured
    if device is None:
        raise InputError(f"`target={name}`: which device? Add `device`, one of {known}")
    if device not in DEVICES:
        raise InputError(f"`device={device}`: no such device; choose from {known}")
    if settings.tune == "measure":
        raise MissingCapabilityError(
            f"`target={name}`: nothing can be measured on a {DEVICES[device].description} "
            "here; plan from its published rates with: `tune=estimate`"
        )
    return AbsentTarget(name, DEVICES[device])


def _on_this_cpu(settings: ExportSettings) -> Target:
    name, threads = settings.target, settings.threads
    # The portable model beside a native one is planned for the engine that every bundle can run in.
    if name in (TargetName.ORT_CPU, TargetName.NATIVE):
        return OrtCpuTarget(threads, settings.memory)
    if settings.precision == "bf16":
        return OnnxEngineTarget(name, threads, settings.batch, "bf16")
    return (
        OpenVinoTarget(threads)
        if name is TargetName.OPENVINO
        else OnnxEngineTarget(name, threads, settings.batch)
    )


def _on_this_gpu(settings: ExportSettings) -> Target | None:
    """The target on this machine's GPU; None for ONNX Runtime where there is none."""
    name = settings.target
    gpus, _ = find_gpus()
    if name is TargetName.ORT_CUDA:
        return OrtCudaTarget(gpus[0].name) if gpus else None
    try:
        if name is TargetName.TORCH_CUDA:
            return TorchCudaTarget()
        return TensorRTTarget(name, _FLAVORS[name], settings.batch)
    except MissingCapabilityError as error:
        raise MissingCapabilityError(
            f"`target={name}` is measured on this machine's GPU: {error}; plan from the published rates "
            f"of a GPU elsewhere with: `tune=estimate` `device={next(iter(DEVICES))}`"
        ) from error
