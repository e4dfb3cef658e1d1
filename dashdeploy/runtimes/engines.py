"""Which engines can run a bundle, by name, and what each of them loads from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import MODEL_NAME, NATIVE_NAME, PLAN_NAME, PT2_NAME, TORCHSCRIPT_NAME, Bundle
from dashdeploy.errors import InputError, MissingCapabilityError, stage_call
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.in_pieces import InPieces
from dashdeploy.runtimes.names import EngineName, TargetName
from dashdeploy.runtimes.native.model import NativeModel
from dashdeploy.runtimes.native.openvino_extension import load_in_openvino
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, Options, OwnFormat
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino
from dashdeploy.runtimes.ort_web.runtime import OrtWeb
from dashdeploy.runtimes.tensorrt import TensorRT
from dashdeploy.runtimes.tensorrt_flavors import RTX, TENSORRT
from dashdeploy.runtimes.torch.program import load_program
from dashdeploy.runtimes.torch.torchscript import TorchScript


@dataclass(frozen=True)
class EngineKind:
    """One engine on one kind of device.

    Attributes:
        name: what it is called.
        file: the file of a bundle that it loads.
        parameter: what asks export for this file, ``target`` for the engine's name, or `target`, as its value; None
            where every bundle has it.
        platform: Triton's name of the platform.
        backend: Triton's name of the backend.
        on_gpu: whether it runs on a GPU.
        load: makes the runtime of a bundle's file; the last argument is the threads within one operator.
        target: whose export writes the file, where it is not called like the engine.
    """

    name: EngineName
    file: str
    parameter: str | None
    platform: str
    backend: str
    on_gpu: bool
    load: Callable[[Bundle, Path, int | None], Runtime]
    target: TargetName | None = None

    @property
    def wish(self) -> dict[str, object]:
        """The parameters that ask export for the file."""
        if self.parameter is None:
            return {}
        return {self.parameter: str(self.target or self.name) if self.parameter == "target" else True}


def _planned(bundle: Bundle) -> dict[str, Any]:
    planned = bundle.read_json(PLAN_NAME) if bundle.file(PLAN_NAME) else {}
    return planned if isinstance(planned, dict) else {}


def _ort_cpu(bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    piece = _planned(bundle).get("batch_piece")
    if piece is None:
        return OnnxRuntime(file, threads=threads)
    return InPieces(lambda within: OnnxRuntime(file, threads=within), int(piece), threads)


def _ort_cuda(_bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    return OnnxRuntime(file, threads=threads, device="cuda")


def _openvino(bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    in_bf16 = _planned(bundle).get("engine_precision") == "bf16"
    return OpenVino(file, threads=threads, precision="bf16" if in_bf16 else "fp32")


def _ort_web(_bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    return OrtWeb(file, threads=threads)


def _with_own_format(name: EngineName, own: OwnFormat) -> EngineKind:
    """An engine of `ONNX_ENGINES` that runs a file of its own."""

    def load(bundle: Bundle, file: Path, threads: int | None) -> Runtime:
        batch = int(bundle.read_json(f"{file.name}.json")["batch"])
        manifest = bundle.manifest
        return own.open(file, manifest.inputs, manifest.outputs, Options(threads, batch))

    return EngineKind(name, own.file, "target", name, name, on_gpu=False, load=load)


def _torchscript(bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    manifest = bundle.manifest
    return TorchScript(file, inputs=manifest.inputs, outputs=manifest.outputs, threads=threads)


def _torch_cuda(bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    manifest = bundle.manifest
    return load_program(file, manifest.inputs, manifest.outputs, threads=threads, device="cuda")


def _native(_bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    return NativeModel(file, threads=threads)


def _openvino_native(_bundle: Bundle, file: Path, threads: int | None) -> Runtime:
    return load_in_openvino(file, threads=threads)


def _tensorrt(_bundle: Bundle, file: Path, _threads: int | None) -> Runtime:
    return TensorRT(file, TENSORRT)


def _rtx(_bundle: Bundle, file: Path, _threads: int | None) -> Runtime:
    return TensorRT(file, RTX)


_OF_OWN_FORMAT = [
    _with_own_format(engine.name, own)
    for engine in ONNX_ENGINES.values()
    if (own := engine.own_format) is not None
]
_ONNX = "onnxruntime_onnx", "onnxruntime"
_PLAN = "tensorrt_plan", "tensorrt"

ENGINES: Mapping[str, EngineKind] = {
    kind.name: kind
    for kind in (
        EngineKind(EngineName.ORT_CPU, MODEL_NAME, None, *_ONNX, on_gpu=False, load=_ort_cpu),
        EngineKind(EngineName.ORT_CUDA, MODEL_NAME, None, *_ONNX, on_gpu=True, load=_ort_cuda),
        EngineKind(EngineName.ORT_WEB, MODEL_NAME, None, *_ONNX, on_gpu=False, load=_ort_web),
        EngineKind(
            EngineName.OPENVINO, MODEL_NAME, None, "openvino", "openvino", on_gpu=False, load=_openvino
        ),
        *_OF_OWN_FORMAT,
        EngineKind(
            EngineName.TORCHSCRIPT,
            TORCHSCRIPT_NAME,
            "torchscript",
            "pytorch_libtorch",
            "pytorch",
            on_gpu=False,
            load=_torchscript,
        ),
        EngineKind(
            TENSORRT.engine, TENSORRT.file_name, TENSORRT.parameter, *_PLAN, on_gpu=True, load=_tensorrt
        ),
        EngineKind(RTX.engine, RTX.file_name, RTX.parameter, *_PLAN, on_gpu=True, load=_rtx),
        EngineKind(
            EngineName.TORCH_CUDA,
            PT2_NAME,
            "pt2",
            "torch_export",
            "dashdeploy",
            on_gpu=True,
            load=_torch_cuda,
        ),
        EngineKind(
            EngineName.NATIVE,
            NATIVE_NAME,
            "target",
            "dashdeploy_native",
            "dashdeploy",
            on_gpu=False,
            load=_native,
        ),
        EngineKind(
            EngineName.OPENVINO_NATIVE,
            NATIVE_NAME,
            "target",
            "openvino_native",
            "openvino",
            on_gpu=False,
            load=_openvino_native,
            target=TargetName.NATIVE,
        ),
    )
}


def engine_of(bundle: Bundle, name: str | None = None) -> EngineKind:
    """The engine called `name`; without one, what the bundle was made for.

    A bundle that was planned for TensorRT but has no engine of it is run by ONNX Runtime on the CPU.

    Raises:
        InputError: the engine does not exist, or the bundle lacks the file that it loads.
    """
    if name is None:
        kind = ENGINES.get(bundle.manifest.target, ENGINES[EngineName.ORT_CPU])
        return kind if bundle.file(kind.file) is not None else ENGINES[EngineName.ORT_CPU]
    if name not in ENGINES:
        raise InputError(f"`engine={name}`: no such engine; choose from {', '.join(ENGINES)}")
    return ENGINES[name]


def load_engine(bundle: Bundle, name: str | None = None, *, threads: int | None = None) -> Runtime:
    """Load a bundle on an engine.

    Args:
        bundle: the bundle.
        name: the engine; None takes what the bundle was made for.
        threads: threads within one operator; None leaves the choice to the engine.

    Returns:
        The loaded model: `run` takes arrays by input name and gives arrays by output name.

    Raises:
        InputError: the bundle lacks the engine's file, or the engine refuses it.
        MissingCapabilityError: the engine, or the device that it runs on, is not here.

    Example:
        ::

            engine = dashdeploy.load_engine(dashdeploy.Bundle.load("bundle"))
            (x,) = engine.inputs
            outputs = engine.run({x.name: samples})
    """
    kind = engine_of(bundle, name)
    file = bundle.file(kind.file)
    if file is None:
        call = stage_call("export", "RUN", **kind.wish)
        raise InputError(f"{bundle.path}: the bundle has no {kind.file}; write it with: {call}")
    try:
        return kind.load(bundle, file, threads)
    except MissingCapabilityError as error:
        if name is None and (kind.on_gpu or kind.file != MODEL_NAME):
            raise MissingCapabilityError(
                f"{bundle.path} was made for {kind.name}: {error}; or run it on the CPU with: "
                f"`engine={EngineName.ORT_CPU}`"
            ) from error
        raise
