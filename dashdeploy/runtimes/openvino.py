"""OpenVINO on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Array


class OpenVino:
    """A model in OpenVINO's CPU plugin.

    Args:
        model: the path of an ``.onnx`` file, or a serialized model.
        threads: threads of inference; None leaves the choice to OpenVINO.
        precision: in what a model in float32 is computed: ``fp32`` or ``bf16``.
        extension: a library with operators of its own that the model has.

    Raises:
        MissingCapabilityError: openvino is not installed, computes in another precision here, or does not load the
            extension.
        InputError: OpenVINO refuses the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        extension: Path | None = None,
    ) -> None:
        openvino = _import_openvino()
        # Asked for nothing, the CPU plugin takes bf16 where the processor has it, and parity fails.
        hint = {"fp32": "f32", "bf16": "bf16"}[precision]
        properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads is not None:
            properties |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        core = openvino.Core()
        if extension is not None:
            _add(core, extension)
        try:
            self._compiled = core.compile_model(
                core.read_model(model if isinstance(model, bytes) else str(model)), "CPU", properties
            )
        except Exception as error:  # openvino raises RuntimeError and its own for a model it refuses
            where = "the model" if isinstance(model, bytes) else str(model)
            raise InputError(f"OpenVINO cannot load {where}: {_last_line(error)}") from error
        found = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if found != hint:  # it falls back in silence where the processor lacks a precision
            raise MissingCapabilityError(
                f"OpenVINO was asked for {precision} and computes in {found} on this processor; leave `precision` out"
            )
        self._version = self.engine_version()
        self._threads, self._precision = threads, precision
        self._local = threading.local()
        self.inputs = tuple(_spec(port) for port in self._compiled.inputs)
        self.outputs = tuple(_spec(port) for port in self._compiled.outputs)

    @staticmethod
    def computes_in_bf16() -> bool:
        """Whether this processor does.

        Raises:
            MissingCapabilityError: openvino is not installed.
        """
        return "BF16" in _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    @staticmethod
    def engine_version() -> str:
        """The installed version.

        Raises:
            MissingCapabilityError: openvino is not installed.
        """
        return str(_import_openvino().__version__).partition("-")[0]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`."""
        # An infer request holds the tensors of one call, so every thread has its own.
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        values = self._local.request.infer(dict(feeds), share_inputs=True)
        return {
            spec.name: np.array(values[port])
            for spec, port in zip(self.outputs, self._compiled.outputs, strict=True)
        }

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        precision = "" if self._precision == "fp32" else f" in {self._precision}"
        return f"OpenVINO {self._version}{precision}, CPU, {threads}"


def _import_openvino() -> Any:  # noqa: ANN401 - the package has no types
    try:
        import openvino
    except ImportError as error:
        raise MissingCapabilityError(
            "openvino is not installed; install it with: pip install 'dashdeploy[openvino]'"
        ) from error
    return openvino


def _add(core: Any, extension: Path) -> None:  # noqa: ANN401 - the package has no types
    try:
        core.add_extension(str(extension))
    except Exception as error:  # of another release of openvino, mostly
        raise MissingCapabilityError(f"OpenVINO does not load {extension}: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return " ".join((str(error).strip().splitlines() or [type(error).__name__])[-1].split())


def _spec(port: Any) -> TensorSpec:  # noqa: ANN401 - the package has no types
    name = port.get_any_name()
    axes = [
        axis.get_length() if axis.is_static else f"{name}_axis_{i}"  # OpenVINO does not keep axes' names
        for i, axis in enumerate(port.get_partial_shape())
    ]
    return TensorSpec(name=name, shape=tuple(axes), dtype=np.dtype(port.get_element_type().to_dtype()).name)
