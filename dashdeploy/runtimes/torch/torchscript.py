"""TorchScript files, run by torch on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, first_line
from dashdeploy.runtimes.base import Array


class TorchScript:
    """A ``model.ts`` in torch.

    A TorchScript file names neither its inputs nor its outputs, so they are told, in the order of the module's
    arguments and results.

    Args:
        model: the file.
        inputs: the model's inputs.
        outputs: the model's outputs.
        threads: threads within one operator, for all of torch in this process; None leaves the choice to torch.

    Raises:
        InputError: torch refuses the file.
    """

    def __init__(
        self,
        model: Path,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        threads: int | None = None,
    ) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        try:
            self._module: Any = torch.jit.load(str(model), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise InputError(f"TorchScript cannot load {model}: {first_line(error)}") from error
        self._torch = torch
        self._threads = threads
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`.

        Raises:
            InputError: the module gives another number of tensors than it is said to.
        """
        return call_program(self._module, feeds, self.inputs, self.outputs)

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"TorchScript in torch {self._torch.__version__.partition('+')[0]}, CPU, {threads}"


def call_program(
    program: Callable[..., Any],
    feeds: Mapping[str, Array],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> dict[str, Array]:
    """Run a program of torch once on arrays.

    Args:
        program: takes a tensor for each input, in order, and gives one or several.
        feeds: the arrays by name.
        inputs: what it takes.
        outputs: what it gives.

    Raises:
        InputError: it gives another number of tensors.
    """
    import torch

    tensors = [torch.from_numpy(_writeable(feeds[spec.name])) for spec in inputs]
    with torch.inference_mode():
        result = program(*tensors)
    values = [result] if isinstance(result, torch.Tensor) else list(result)
    if len(values) != len(outputs):
        raise InputError(f"the module gives {len(values)} outputs, not {len(outputs)}")
    return {spec.name: value.numpy() for spec, value in zip(outputs, values, strict=True)}


def _writeable(array: Array) -> Array:
    """The array, copied if it is a view of a request's bytes: torch has no read-only tensors."""
    return array if array.flags.writeable else np.array(array)
