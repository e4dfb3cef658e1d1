"""MNN, Alibaba's engine for phones, on this machine's CPU."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.converter_process import run_converter
from dashdeploy.runtimes.converted.greetings import without_greeting

_SUFFIX = ".mnn"
# Not the script mnnconvert: that would report its arguments to a server.
_CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


def convert_to_mnn(model: bytes, batch: int = 1) -> bytes:  # noqa: ARG001 - the batch stays dynamic
    """Convert a serialized ONNX model to MNN's format.

    Args:
        model: the ONNX model.
        batch: not needed: MNN takes any.

    Raises:
        MissingCapabilityError: MNN is not installed.
        InputError: its converter refuses the model.
    """
    engine_version()
    with TemporaryDirectory() as folder:
        source, result = Path(folder) / "model.onnx", Path(folder) / f"model{_SUFFIX}"
        source.write_bytes(model)
        arguments = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(result)]
        run_converter(["-c", _CONVERT, *arguments, "--bizCode", "dashdeploy"], title="MNN's converter")
        if not result.exists():
            raise InputError(
                "MNN's converter wrote nothing: it does not know an operator; choose another `target`"
            )
        return result.read_bytes()


class Mnn:
    """A ``.mnn`` file in MNN on the CPU, in float32.

    Args:
        model: the file, or its content.
        inputs: the model's inputs, since the file does not hold their shapes.
        outputs: the model's outputs.
        threads: of inference; None is one.

    Raises:
        MissingCapabilityError: MNN is not installed.
        InputError: MNN refuses the file.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        threads: int | None = None,
    ) -> None:
        self._version = engine_version()
        with without_greeting(1):
            import MNN.expr as expr  # noqa: PLR0402 - the package's modules are not attributes before
            import MNN.nn as nn  # noqa: PLR0402

            self._expr: Any = expr
            self._threads = threads or 1
            self.inputs, self.outputs = tuple(inputs), tuple(outputs)
            names = [spec.name for spec in self.inputs], [spec.name for spec in self.outputs]
            # High precision: others may compute in bf16 or fp16 where the processor has that.
            options = {"precision_mode": expr.PrecisionMode.High, "thread_num": self._threads}
            with TemporaryDirectory() as folder:
                file = model if isinstance(model, Path) else Path(folder) / f"model{_SUFFIX}"
                if isinstance(model, bytes):
                    file.write_bytes(model)
                try:
                    self._module: Any = nn.load_module_from_file(str(file), *names, **options)
                except Exception as error:  # MNN raises what it likes for a file it refuses
                    raise InputError(
                        f"MNN cannot load {file.name}: {' '.join(str(error).split())}"
                    ) from error
        self._types = {
            "float32": expr.float,
            "int32": expr.int,
            "int64": expr.int64,
            "uint8": expr.uint8,
            "int8": expr.int8,
            "float64": expr.double,
        }
        for spec in self.inputs:
            if spec.dtype not in self._types:
                raise InputError(
                    f"MNN takes no input of {spec.dtype}, and {spec.name} is one; choose another `target`"
                )
        self._lock = Lock()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`.

        Raises:
            InputError: MNN refuses the inputs.
        """
        expr = self._expr
        with self._lock:
            values = []
            for spec in self.inputs:
                array = np.ascontiguousarray(feeds[spec.name], dtype=spec.dtype)
                values.append(expr.const(array, list(array.shape), expr.NCHW, self._types[spec.dtype]))
            try:
                results = self._module.forward(values)
                return {
                    spec.name: _with_axes(
                        np.array(self._plain(value).read(), dtype=spec.dtype), len(spec.shape)
                    )
                    for spec, value in zip(self.outputs, results, strict=True)
                }
            except Exception as error:  # as above
                raise InputError(f"MNN cannot run the model: {' '.join(str(error).split())}") from error

    def _plain(self, value: Any) -> Any:  # noqa: ANN401 - MNN's own
        """In the order of the axes, where MNN has packed the channels by fours."""
        packed = value.data_format == self._expr.NC4HW4
        return self._expr.convert(value, self._expr.NCHW) if packed else value

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        return f"MNN {self._version}, CPU, {self._threads} thread(s)"


def _with_axes(array: Array, count: int) -> Array:
    """The array without further axes of one: MNN gives four where a convolution along one axis ends the model."""
    while array.ndim > count and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def engine_version() -> str:
    """The installed version.

    Raises:
        MissingCapabilityError: MNN is not installed.
    """
    if importlib.util.find_spec("MNN") is None:
        raise MissingCapabilityError("MNN is not installed; install it with: pip install 'dashdeploy[mnn]'")
    return importlib.metadata.version("MNN")
