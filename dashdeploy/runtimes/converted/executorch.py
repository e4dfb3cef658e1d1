"""ExecuTorch with the XNNPACK delegate, for phones; on this machine's CPU."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.machine import physical_cores
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.converter_process import converted_by
from dashdeploy.runtimes.converted.fixed_batch import run_in_pieces

_METHOD = "forward"

_LOCK = Lock()
"""All programs of a process share one pool of threads, and XNNPACK its memory."""


class _Pool:
    """The pool of threads, which a program keeps from when it is loaded: after a change it must be loaded again."""

    changes = 0

    @classmethod
    def give(cls, threads: int) -> int:
        """Have so many threads; how often the pool has been changed by now."""
        from executorch.extension.pybindings import portable_lib

        if portable_lib._threadpool_get_thread_count() != threads:
            portable_lib._unsafe_reset_threadpool(threads)
            cls.changes += 1
        return cls.changes


def engine_version() -> str:
    """The installed version.

    Raises:
        MissingCapabilityError: it is not installed.
    """
    if importlib.util.find_spec("executorch") is None:
        raise MissingCapabilityError(
            "ExecuTorch is not installed; install it with: pip install 'dashdeploy[executorch]'"
        )
    return importlib.metadata.version("executorch")


@lru_cache(maxsize=4)  # the same model is planned with, raced and written
def convert_to_executorch(model: bytes, batch: int = 1) -> bytes:
    """Convert a serialized ONNX model to a program of ExecuTorch; XNNPACK takes the operators that it has.

    Args:
        model: the ONNX model.
        batch: samples per call of what is converted.

    Raises:
        MissingCapabilityError: ExecuTorch is not installed.
        InputError: an axis other than the batch is dynamic, an operator has no form in torch, or ExecuTorch cannot
            convert the model.
    """
    engine_version()
    return converted_by(__name__, model, batch, suffix=".pte", title="ExecuTorch")


class ExecuTorch:
    """A ``.pte`` file in ExecuTorch's runtime; more samples than it was converted for run in pieces.

    Args:
        program: the file, or its content.
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
        batch: what it was converted for.
        threads: of inference; None is one for each core. All programs of a process share them, so that one with
            another number is loaded again at each of its turns.

    Raises:
        MissingCapabilityError: ExecuTorch is not installed.
        InputError: it refuses the file.
    """

    def __init__(
        self,
        program: Path | bytes,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        batch: int = 1,
        threads: int | None = None,
    ) -> None:
        self._version = engine_version()
        self._batch, self._threads = batch, threads or physical_cores()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._content = program if isinstance(program, bytes) else program.read_bytes()
        try:
            with _LOCK:
                self._load(_Pool.give(self._threads))
        except Exception as error:  # ExecuTorch raises what it likes for a file it refuses
            where = "the program" if isinstance(program, bytes) else str(program)
            raise InputError(f"ExecuTorch cannot load {where}: {first_line(error)}") from error

    def _load(self, pool: int) -> None:
        from executorch.runtime import Runtime

        # The method reads the program's memory as long as it lives.
        self._program: Any = Runtime.get().load_program(self._content)
        self._method: Any = self._program.load_method(_METHOD)
        self._pool = pool

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the program once, or as often as the samples need; see `Runtime.run`.

        Raises:
            InputError: ExecuTorch refuses the inputs.
        """
        return run_in_pieces(self._call, self.inputs, feeds, self._batch)

    def _call(self, arrays: Sequence[Array]) -> dict[str, Array]:
        import torch

        tensors = [torch.from_numpy(np.array(array)) for array in arrays]
        try:
            with _LOCK:
                if self._pool != (pool := _Pool.give(self._threads)):
                    self._load(pool)
                results = self._method.execute(tensors)
                # The next run writes to the same memory.
                return {
                    spec.name: np.array(value.numpy())
                    for spec, value in zip(self.outputs, results, strict=True)
                }
        except Exception as error:  # as above
            raise InputError(f"ExecuTorch cannot run the program: {first_line(error)}") from error

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        return f"ExecuTorch {self._version} (XNNPACK, batch {self._batch}), CPU, {self._threads} thread(s)"


def _convert(source: str, result: str, batch: str) -> None:
    """What the process of its own does."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from dashdeploy.runtimes.converted.torch_form.delegated import DELEGATED
    from dashdeploy.runtimes.converted.torch_form.program import OnnxProgram

    program = OnnxProgram(Path(source).read_bytes(), int(batch), DELEGATED).eval()
    with torch.no_grad():
        exported = torch.export.export(program, program.examples, strict=False)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        Path(result).write_bytes(lowered.to_executorch().buffer)


if __name__ == "__main__":
    _convert(*sys.argv[1:])
