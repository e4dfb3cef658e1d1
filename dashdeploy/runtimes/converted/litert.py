"""LiteRT, TensorFlow Lite's successor, on this machine's CPU: its interpreter, with XNNPACK's kernels."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.fixed_batch import run_in_pieces
from dashdeploy.runtimes.converted.greetings import without_greeting
from dashdeploy.runtimes.converted.tflite.convert import convert

_PACKAGE = "ai_edge_litert"
_GREETED = Event()
"""LiteRT greets on stderr when it loads the first model of a process."""


def convert_to_litert(model: bytes, batch: int = 1) -> bytes:
    """Convert a serialized ONNX model to a ``.tflite`` file.

    Args:
        model: the ONNX model.
        batch: samples per call of what is written.

    Raises:
        MissingCapabilityError: LiteRT is not installed, whose package has the format's schema.
        InputError: an axis other than the batch is dynamic, or LiteRT has no form of an operator.
    """
    engine_version()
    return convert(model, batch)


class LiteRT:
    """A ``.tflite`` file in LiteRT's interpreter; more samples than it was written for run in pieces.

    Args:
        model: the file, or its content.
        inputs: the model's inputs, since the file does not say which axis is the batch.
        outputs: the model's outputs.
        batch: what it was written for.
        threads: of inference; None leaves the choice to LiteRT.

    Raises:
        MissingCapabilityError: LiteRT is not installed.
        InputError: it refuses the file.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        batch: int = 1,
        threads: int | None = None,
    ) -> None:
        self._version = engine_version()
        from ai_edge_litert.interpreter import Interpreter

        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            with nullcontext() if _GREETED.is_set() else without_greeting(2):
                self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
                _GREETED.set()
        except Exception as error:  # LiteRT raises what it likes for a file it refuses
            where = "the model" if isinstance(model, bytes) else str(model)
            raise InputError(f"LiteRT cannot load {where}: {first_line(error)}") from error
        self._inputs = {each["name"]: each["index"] for each in self._interpreter.get_input_details()}
        self._outputs = {each["name"]: each["index"] for each in self._interpreter.get_output_details()}
        self._batch, self._threads = batch, threads
        self._lock = Lock()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once, or as often as the samples need; see `Runtime.run`.

        Raises:
            InputError: LiteRT refuses the inputs.
        """
        return run_in_pieces(self._call, self.inputs, feeds, self._batch)

    def _call(self, arrays: Sequence[Array]) -> dict[str, Array]:
        try:
            with self._lock:
                for spec, array in zip(self.inputs, arrays, strict=True):
                    self._interpreter.set_tensor(self._inputs[spec.name], array)
                self._interpreter.invoke()
                return {
                    spec.name: np.asarray(self._interpreter.get_tensor(self._outputs[spec.name]), spec.dtype)
                    for spec in self.outputs
                }
        except Exception as error:  # as above
            raise InputError(f"LiteRT cannot run the model: {first_line(error)}") from error

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"LiteRT {self._version} (batch {self._batch}), CPU, {threads}"


def engine_version() -> str:
    """The installed version.

    Raises:
        MissingCapabilityError: LiteRT is not installed.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        raise MissingCapabilityError(
            "LiteRT is not installed; install it with: pip install 'dashdeploy[litert]'"
        )
    return importlib.metadata.version("ai-edge-litert")
