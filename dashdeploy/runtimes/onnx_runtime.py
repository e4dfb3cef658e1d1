"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Array
from dashdeploy.tensor_spec import TensorSpec

_NUMPY_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class OnnxRuntime:
    """A model in ONNX Runtime's CPU execution provider.

    Args:
        model: the path of an ``.onnx`` file (external data beside it is found), or a serialized model.
        threads: threads within one operator; None leaves the choice to ONNX Runtime.

    Raises:
        MissingCapabilityError: onnxruntime is not installed.
        InputError: ONNX Runtime refuses the model.
    """

    def __init__(self, model: Path | bytes, *, threads: int | None = None) -> None:
        onnxruntime = _import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # Idle threads of one session would otherwise spin on the cores that the next session is timed on.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen unrelated classes for a model it refuses
            where = "the model" if isinstance(model, bytes) else str(model)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"ONNX Runtime cannot load {where}: {reason}") from error
        self._version: str = onnxruntime.__version__
        self._threads = threads
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]

    @staticmethod
    def engine_version() -> str:
        """The installed version.

        Raises:
            MissingCapabilityError: onnxruntime is not installed.
        """
        return str(_import_onnxruntime().__version__)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`."""
        values = self._session.run(self._output_names, dict(feeds))
        return {name: np.asarray(value) for name, value in zip(self._output_names, values, strict=True)}

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"ONNX Runtime {self._version}, CPU, {threads}"


def _import_onnxruntime() -> Any:  # noqa: ANN401 - the package has no types
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingCapabilityError(
            "onnxruntime is not installed; install it with: pip install 'dashdeploy[cpu]'"
        ) from error
    return onnxruntime


def _spec(value: object) -> TensorSpec:
    name, shape, kind = value.name, value.shape, value.type  # type: ignore[attr-defined]
    if any(isinstance(axis, int) and axis < 0 for axis in shape):
        raise InputError(
            f"{name} has the impossible shape {shape}: the model's input is shorter than its kernels"
        )
    axes = [
        axis if isinstance(axis, int) else str(axis or f"{name}_axis_{i}") for i, axis in enumerate(shape)
    ]
    return TensorSpec(name=name, shape=tuple(axes), dtype=_NUMPY_DTYPES.get(kind, kind))
