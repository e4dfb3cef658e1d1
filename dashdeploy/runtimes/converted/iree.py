"""IREE's compiler for CPUs (llvm-cpu) and its runtime.

What it compiles is for one batch and for the processor that it is compiled on.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.converter_process import run_converter
from dashdeploy.runtimes.converted.fixed_batches import in_fixed_batches
from dashdeploy.runtimes.converted.onnx_interface import with_fixed_batch

_FUNCTION = "main_graph"
"""What the importer calls the graph unless it has a name."""

_OPTIONS = ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu")
_HOST = ("--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3")


def convert_to_iree(model: bytes, batch: int = 1) -> bytes:
    """Compile a serialized ONNX model for this machine's processor.

    Args:
        model: the ONNX model.
        batch: samples per call of what is compiled.

    Raises:
        MissingCapabilityError: IREE's compiler is not installed.
        InputError: an axis other than the batch is dynamic, or the compiler refuses the model.
    """
    import onnx

    engine_version()
    if importlib.util.find_spec("iree.compiler") is None:
        raise _missing()
    proto = onnx.load_from_string(with_fixed_batch(model, batch))
    proto.graph.name = _FUNCTION
    with TemporaryDirectory() as folder:
        source, imported, compiled = (Path(folder) / f"model.{suffix}" for suffix in ("onnx", "mlir", "vmfb"))
        onnx.save(proto, source)
        importer = ["-m", "iree.compiler.tools.import_onnx", str(source), "-o", str(imported)]
        run_converter(importer, title="IREE's importer")
        compiler = ["-m", "iree.compiler.tools.scripts.iree_compile", str(imported), "-o", str(compiled)]
        options = ["--iree-input-type=onnx", *_OPTIONS, *_HOST]
        run_converter([*compiler, *options], title="IREE's compiler")
        return compiled.read_bytes()


class Iree:
    """A ``.vmfb`` file in IREE's runtime; more samples than it was compiled for run in pieces.

    Args:
        model: the file, or its content.
        inputs: the model's inputs, since the file does not hold their names.
        outputs: the model's outputs.
        batch: what it was compiled for.
        threads: of inference; None leaves the choice to IREE.

    Raises:
        MissingCapabilityError: IREE's runtime is not installed.
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
        import iree.runtime as iree

        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            device = _device(threads)
            context = iree.SystemContext(config=iree.Config(device=device))
            module = iree.VmModule.copy_buffer(context.instance, content)
            context.add_vm_module(module)
            self._function: Any = context.modules[module.name][_FUNCTION]
        except Exception as error:  # IREE raises what it likes for a file it refuses
            where = "the model" if isinstance(model, bytes) else str(model)
            raise InputError(f"IREE cannot load {where}: {' '.join(str(error).split())[:300]}") from error
        self._context = context
        self._batch, self._threads = batch, threads
        self._lock = Lock()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once, or as often as the samples need; see `Runtime.run`.

        Raises:
            InputError: IREE refuses the inputs.
        """
        arrays = [np.ascontiguousarray(feeds[spec.name], dtype=spec.dtype) for spec in self.inputs]
        return in_fixed_batches(self._call, arrays, self.inputs, self._batch)

    def _call(self, arrays: Sequence[Array]) -> dict[str, Array]:
        try:
            with self._lock:
                results = self._function(*arrays)
        except Exception as error:  # as above
            raise InputError(f"IREE cannot run the model: {' '.join(str(error).split())[:300]}") from error
        values = [results] if len(self.outputs) == 1 else list(results)
        return {
            spec.name: np.array(value.to_host(), dtype=spec.dtype)
            for spec, value in zip(self.outputs, values, strict=True)
        }

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"IREE {self._version} (llvm-cpu, batch {self._batch}), CPU, {threads}"


@cache
def _device(threads: int | None) -> Any:  # noqa: ANN401 - the package has no types
    """This machine's CPU with so many threads: one device for all models, since each has a pool of its own."""
    import iree.runtime as iree
    from iree.runtime import _binding

    if threads == 1:
        return iree.get_device("local-sync")
    if threads is not None:
        iree.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    # The public functions keep the first driver, and with it the number of threads.
    return _binding.create_hal_driver("local-task").create_default_device()


def engine_version() -> str:
    """The installed version of the runtime.

    Raises:
        MissingCapabilityError: it is not installed.
    """
    try:
        found = importlib.util.find_spec("iree.runtime")
    except ImportError:
        found = None
    if found is None:
        raise _missing()
    return importlib.metadata.version("iree-base-runtime")


def _missing() -> MissingCapabilityError:
    return MissingCapabilityError("IREE is not installed; install it with: pip install 'dashdeploy[iree]'")
