"""Torch itself as an engine: eager, and with torch.compile, on the CPU or on a GPU."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.bench.common.device import describe_device, without_tf32
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
        device: ``cpu`` or ``cuda``. Arrays go to the GPU and back in every run, as with the other engines.

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
        device: str = "cpu",
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
        self._threads, self._device = threads, device
        self.inputs, self.outputs = inputs, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module once; see `Runtime.run`."""
        torch = self._torch
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensors = [torch.from_numpy(feeds[spec.name]).to(self._device) for spec in self.inputs]
            with nullcontext() if self._device == "cpu" else without_tf32():
                result = self._module(*tensors)
        return {self.outputs[0].name: result.cpu().numpy()}

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        version = self._torch.__version__.partition("+")[0]
        where = "CPU" if self._device == "cpu" else f"{describe_device(self._device)}, without TF32"
        return f"{self._title} {version}, {where}, {self._threads} thread(s)"


def load_program(
    bundle: Bundle, file: Path, threads: int, *, compile_it: bool, device: str = "cpu"
) -> TorchModule:
    """The compiled network, as torch.export wrote it, moved to `device`.

    Raises:
        InputError: torch refuses the file.
        MissingCapabilityError: see `TorchModule`.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(file)
            if device != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, device)
            module = program.module()
    except Exception as error:  # torch raises a dozen unrelated classes for a file it refuses
        raise InputError(f"torch cannot load {file}: {first_line(error)}") from error
    manifest = bundle.manifest
    return TorchModule(
        module,
        tuple(manifest.inputs),
        tuple(manifest.outputs),
        threads=threads,
        compile_it=compile_it,
        device=device,
    )
