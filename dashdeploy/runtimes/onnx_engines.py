"""The engines of this machine's CPU that can be given any ONNX model, as it is or converted first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import MissingCapabilityError
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.converted import aoti, executorch, iree, litert, mnn
from dashdeploy.runtimes.converted.onnx_interface import interface
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino
from dashdeploy.runtimes.ort_web.runtime import OrtWeb


@dataclass(frozen=True)
class Options:
    """How a model is to be run.

    Attributes:
        threads: within one operator; None leaves the choice to the engine.
        batch: samples per call, for an engine that compiles for one batch.
        precision: in what the engine computes a model in float32.
    """

    threads: int | None = None
    batch: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True)
class OwnFormat:
    """The file of an engine that does not run ONNX models as they are.

    Attributes:
        file: its name in a bundle.
        convert: makes its content of a serialized ONNX model, for a batch.
        open: makes the runtime of the file, or its content, with the model's inputs and outputs.
        require: raises `MissingCapabilityError` where only the conversion lacks something.
    """

    file: str
    convert: Callable[[bytes, int], bytes]
    open: Callable[[Path | bytes, Sequence[TensorSpec], Sequence[TensorSpec], Options], Runtime]
    require: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class OnnxEngine:
    """One engine.

    Attributes:
        name: among the engines.
        title: what people call it.
        version: the installed version; raises `MissingCapabilityError` where there is none.
        run: makes the runtime of a serialized ONNX model, or says how it is converted first.
        packages: the distributions that it needs at run time.
        precisions: in which it computes a model in float32.
        channels_last: whether its values between convolutions lie that way.
    """

    name: EngineName
    title: str
    version: Callable[[], str]
    run: Callable[[bytes, Options], Runtime] | OwnFormat
    packages: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32",)
    channels_last: bool = False

    @property
    def own_format(self) -> OwnFormat | None:
        """The file that it runs in place of the ONNX model; None where it runs that."""
        return self.run if isinstance(self.run, OwnFormat) else None

    def load(self, model: bytes, options: Options) -> Runtime:
        """Load a serialized ONNX model.

        Raises:
            MissingCapabilityError: the engine is not installed, or lacks what the options ask for.
            InputError: it refuses the model.
        """
        if not isinstance(self.run, OwnFormat):
            return self.run(model, options)
        return self.run.open(self.run.convert(model, options.batch), *interface(model), options)

    def missing(self) -> str | None:
        """Why no model can be made for it and run here, with what mends that; None where it can."""
        try:
            self.version()
            if self.own_format is not None:
                self.own_format.require()
        except MissingCapabilityError as error:
            return str(error)
        return None


def _ort_cpu(model: bytes, options: Options) -> Runtime:
    return OnnxRuntime(model, threads=options.threads)


def _ort_web(model: bytes, options: Options) -> Runtime:
    return OrtWeb(model, threads=options.threads)


def _openvino(model: bytes, options: Options) -> Runtime:
    return OpenVino(model, threads=options.threads, precision=options.precision)


def _mnn(
    file: Path | bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], options: Options
) -> Runtime:
    return mnn.Mnn(file, inputs=inputs, outputs=outputs, threads=options.threads)


def _aoti(
    file: Path | bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], options: Options
) -> Runtime:
    return aoti.Aoti(file, inputs=inputs, outputs=outputs, batch=options.batch, threads=options.threads)


def _executorch(
    file: Path | bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], options: Options
) -> Runtime:
    return executorch.ExecuTorch(
        file, inputs=inputs, outputs=outputs, batch=options.batch, threads=options.threads
    )


def _iree(
    file: Path | bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], options: Options
) -> Runtime:
    return iree.Iree(file, inputs=inputs, outputs=outputs, batch=options.batch, threads=options.threads)


def _litert(
    file: Path | bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], options: Options
) -> Runtime:
    return litert.LiteRT(file, inputs=inputs, outputs=outputs, batch=options.batch, threads=options.threads)


ONNX_ENGINES: Mapping[str, OnnxEngine] = {
    engine.name: engine
    for engine in (
        OnnxEngine(
            EngineName.ORT_CPU, "ONNX Runtime", OnnxRuntime.engine_version, _ort_cpu, ("onnxruntime",)
        ),
        OnnxEngine(EngineName.ORT_WEB, "onnxruntime-web", OrtWeb.engine_version, _ort_web),
        OnnxEngine(
            EngineName.OPENVINO,
            "OpenVINO",
            OpenVino.engine_version,
            _openvino,
            ("openvino",),
            ("fp32", "bf16"),
        ),
        OnnxEngine(
            EngineName.MNN,
            "MNN",
            mnn.engine_version,
            OwnFormat("model.mnn", mnn.convert_to_mnn, _mnn),
            ("MNN",),
        ),
        OnnxEngine(
            EngineName.IREE,
            "IREE",
            iree.engine_version,
            OwnFormat("model.vmfb", iree.convert_to_iree, _iree),
            ("iree-base-runtime",),
        ),
        OnnxEngine(
            EngineName.LITERT,
            "LiteRT",
            litert.engine_version,
            OwnFormat("model.tflite", litert.convert_to_litert, _litert),
            ("ai-edge-litert",),
            channels_last=True,
        ),
        OnnxEngine(
            EngineName.AOTI,
            "AOTInductor",
            aoti.engine_version,
            OwnFormat("model.aoti.pt2", aoti.convert_to_aoti, _aoti, aoti.require_compiler),
            ("torch",),
        ),
        OnnxEngine(
            EngineName.EXECUTORCH,
            "ExecuTorch",
            executorch.engine_version,
            OwnFormat("model.pte", executorch.convert_to_executorch, _executorch),
            ("executorch",),
        ),
    )
}
