"""AOTInductor: torch's compiler, ahead of time, for this machine's processor and one batch.

What it makes is a package that torch loads and runs without Python's part of it, and without a C++ compiler.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.machine import physical_cores
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.converter_process import converted_by
from dashdeploy.runtimes.converted.fixed_batch import run_in_pieces
from dashdeploy.runtimes.torch.torchscript import call_program

_COMPILERS = ("g++", "c++", "clang++", "cl")


def engine_version() -> str:
    """The installed version of torch."""
    return importlib.metadata.version("torch").partition("+")[0]


def require_compiler() -> None:
    """Refuse to go on without a C++ compiler, which only compiling needs.

    Raises:
        MissingCapabilityError: there is none.
    """
    chosen = os.environ.get("CXX")
    if not any(map(shutil.which, (chosen,) if chosen else _COMPILERS)):
        what = (
            f"the C++ compiler {chosen} that CXX names is not here" if chosen else "no C++ compiler is here"
        )
        raise MissingCapabilityError(
            f"AOTInductor compiles with a C++ compiler, and {what}; on Debian: apt-get install g++"
        )


@lru_cache(maxsize=4)  # the same model is planned with, raced and written
def convert_to_aoti(model: bytes, batch: int = 1) -> bytes:
    """Compile a serialized ONNX model for this machine's processor. It takes from seconds to minutes.

    Args:
        model: the ONNX model.
        batch: samples per call of what is compiled: code for any batch is a third slower.

    Raises:
        MissingCapabilityError: a C++ compiler is missing.
        InputError: an axis other than the batch is dynamic, an operator has no form in torch, or torch cannot
            compile the model.
    """
    require_compiler()
    return converted_by(__name__, model, batch, suffix=".pt2", title="AOTInductor")


class Aoti:
    """A package of AOTInductor on the CPU; more samples than it was compiled for run in pieces.

    Args:
        package: the file, or its content.
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
        batch: what it was compiled for.
        threads: within one operator, for all of torch in this process; None leaves the choice to torch.

    Raises:
        InputError: torch refuses the file.
    """

    def __init__(
        self,
        package: Path | bytes,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        batch: int = 1,
        threads: int | None = None,
    ) -> None:
        import torch
        import torch._inductor

        if threads is not None:
            torch.set_num_threads(threads)
        with TemporaryDirectory() as folder:
            file = package if isinstance(package, Path) else Path(folder) / "package.pt2"
            if isinstance(package, bytes):
                file.write_bytes(package)
            try:
                self._program: Any = torch._inductor.aoti_load_package(str(file))
            except Exception as error:  # torch raises what it likes for a file it refuses
                where = "the package" if isinstance(package, bytes) else str(package)
                raise InputError(f"AOTInductor cannot load {where}: {first_line(error)}") from error
        self._batch, self._threads = batch, threads
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the program once, or as often as the samples need; see `Runtime.run`.

        Raises:
            InputError: the program gives another number of tensors than it is said to.
        """
        return run_in_pieces(self._call, self.inputs, feeds, self._batch)

    def _call(self, arrays: Sequence[Array]) -> dict[str, Array]:
        given = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}
        return call_program(self._program, given, self.inputs, self.outputs)

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"AOTInductor in torch {engine_version()} (batch {self._batch}), CPU, {threads}"


def _compile(source: str, package: str, batch: str) -> None:
    """What the process of its own does."""
    import torch
    import torch._inductor

    from dashdeploy.runtimes.converted.torch_form.program import OnnxProgram

    program = OnnxProgram(Path(source).read_bytes(), int(batch)).eval()
    with torch.no_grad():
        exported = torch.export.export(program, program.examples, strict=False)
        torch._inductor.aoti_compile_and_package(
            exported,
            package_path=package,
            inductor_configs={
                # Folds what depends on weights alone, and packs the weights of convolutions.
                "freezing": True,
                # As many threads as the caller has then, not as this process has now.
                "cpp.threads": physical_cores(),
                "cpp.dynamic_threads": True,
            },
        )


if __name__ == "__main__":
    _compile(*sys.argv[1:])
