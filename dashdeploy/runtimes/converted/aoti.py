"""AOTInductor: a torch program compiled ahead of time into a package that torch loads without Python's part of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.converted.converter_process import run_converter
from dashdeploy.runtimes.torch.torchscript import call_program


def engine_version() -> str:
    """The installed version of torch.

    Raises:
        MissingCapabilityError: torch is not installed, or a C++ compiler is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingCapabilityError("torch is not installed; install it with: pip install torch") from error
    compiler = os.environ.get("CXX", "")
    if not any(map(shutil.which, (*filter(None, [compiler]), "g++", "c++", "clang++", "cl"))):
        raise MissingCapabilityError("AOTInductor needs a C++ compiler; on Debian: apt-get install g++")
    return str(torch.__version__).partition("+")[0]


def convert_to_aoti(program: Path) -> bytes:
    """Compile a file of torch.export for this machine's processor; the batch stays dynamic. It takes a minute.

    Args:
        program: the file.

    Raises:
        MissingCapabilityError: see `engine_version`.
        InputError: torch cannot compile it.
    """
    engine_version()
    with TemporaryDirectory() as folder:
        package = Path(folder) / "package.pt2"
        run_converter(["-m", __name__, str(program), str(package)], title="AOTInductor")
        return package.read_bytes()


class Aoti:
    """A package of AOTInductor on the CPU.

    Args:
        package: the file.
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
        threads: within one operator, for all of torch in this process; None leaves the choice to torch.

    Raises:
        InputError: torch refuses the file.
    """

    def __init__(
        self,
        package: Path,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        threads: int | None = None,
    ) -> None:
        import torch
        import torch._inductor

        if threads is not None:
            torch.set_num_threads(threads)
        try:
            self._program: Any = torch._inductor.aoti_load_package(str(package))
        except Exception as error:  # torch raises what it likes for a file it refuses
            raise InputError(f"AOTInductor cannot load {package}: {first_line(error)}") from error
        self._threads = threads
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the program once; see `Runtime.run`.

        Raises:
            InputError: the program gives another number of tensors than it is said to.
        """
        # The compiled code goes by the layout that it was compiled for.
        arrays = {spec.name: np.ascontiguousarray(feeds[spec.name], dtype=spec.dtype) for spec in self.inputs}
        return call_program(self._program, arrays, self.inputs, self.outputs)

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"AOTInductor in torch {engine_version()}, CPU, {threads}"


def _compile(program: str, package: str) -> None:
    import torch
    import torch._inductor

    with torch.no_grad():
        loaded = torch.export.load(program)
        # Freezing folds the weights into the code, which a package for deployment wants.
        torch._inductor.aoti_compile_and_package(
            loaded, package_path=package, inductor_configs={"freezing": True}
        )


if __name__ == "__main__":
    _compile(*sys.argv[1:])
