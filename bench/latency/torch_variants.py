"""Torch itself as an engine: eager, and with torch.compile."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.runtimes.base import Array

PT2_NAME = "model.pt2"


class TorchModule:
    """A torch module as a `Runtime`.

    Args:
        module: takes the inputs in order and gives one tensor.
        inputs: the model's inputs.
        outputs: the model's outputs.
        threads: threads within one operator, for all of torch in this process.
        compile_it: whether torch.compile compiles it.

    Raises:
        MissingCapabilityError: torch.compile needs a C++ compiler, and there is none.
    """

    def __init__(
        self,
        module: Any,  # noqa: ANN401 - a module, or the callable that torch.export gives
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        threads: int,
        compile_it: bool,
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self._torch, self._module = torch, module
        if compile_it:
            if not any(map(shutil.which, ("g++", "c++", "clang++", "cl"))):
                raise MissingCapabilityError(
                    "torch.compile needs a C++ compiler; on Debian: apt-get install g++"
                )
            self._module = torch.compile(module, dynamic=False)
        self._title = "torch.compile in torch" if compile_it else "torch"
        self._threads = threads
        self.inputs, self.outputs = inputs, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module once; see `Runtime.run`."""
        torch = self._torch
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = self._module(*(torch.from_numpy(feeds[spec.name]) for spec in self.inputs))
        return {self.outputs[0].name: result.numpy()}

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        version = self._torch.__version__.partition("+")[0]
        return f"{self._title} {version}, CPU, {self._threads} thread(s)"


def load_program(bundle: Bundle, file: Path, threads: int, *, compile_it: bool) -> TorchModule:
    """The compiled network, as torch.export wrote it.

    Raises:
        InputError: torch refuses the file.
        MissingCapabilityError: see `TorchModule`.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.export.load(file).module()
    except Exception as error:  # torch raises a dozen unrelated classes for a file it refuses
        raise InputError(f"torch cannot load {file}: {first_line(error)}") from error
    manifest = bundle.manifest
    return TorchModule(
        module, tuple(manifest.inputs), tuple(manifest.outputs), threads=threads, compile_it=compile_it
    )
