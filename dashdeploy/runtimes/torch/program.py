"""Programs of torch as an engine: eager, by torch.compile or as a CUDA graph, on the CPU or on a GPU."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, TypedDict, Unpack

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError, first_line
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.torch.device import (
    TorchPrecision,
    captured,
    check_precision,
    choose_kernels_by_trial,
    describe_gpu,
    event_nanoseconds,
    require_cuda,
    tf32,
)


class How(TypedDict, total=False):
    """How a program runs: the keywords of `TorchProgram`, but for its device."""

    threads: int | None
    compile_it: bool
    graph: bool
    precision: str


class TorchProgram:
    """A torch module as a `Runtime`.

    Args:
        module: takes the inputs in order and gives one tensor.
        inputs: the model's inputs.
        outputs: the model's outputs.
        threads: threads within one operator, for all of torch in this process; None leaves the choice to torch.
        compile_it: whether torch.compile compiles it.
        graph: whether the kernels of a run are captured as a CUDA graph, one for every shape of the inputs, and
            launched all at once from then on.
        device: ``cpu``, or ``cuda`` for this machine's first GPU.
        precision: in what it computes.

    Attributes:
        inside_nanoseconds: on a GPU, how long the last run took there, without the way of the arrays there and back.

    Raises:
        InputError: the device does not have the precision, or no graphs.
        MissingCapabilityError: a GPU is missing, or the C++ compiler that torch.compile needs.
    """

    inside_nanoseconds: int

    def __init__(
        self,
        module: Any,  # noqa: ANN401 - a module, or the callable that torch.export gives
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        threads: int | None = None,
        compile_it: bool = False,
        graph: bool = False,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        import torch

        self._precision: TorchPrecision = check_precision(precision, device)
        if graph and device == "cpu":
            raise InputError("CUDA graphs are of GPUs; use `device=cuda`")
        if threads is not None:
            torch.set_num_threads(threads)
        self._torch, self._lock = torch, Lock()
        half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(self._precision)
        self._dtype = half or torch.float32
        self._module = module if half is None else module.to(half)
        if compile_it:
            if not any(map(shutil.which, ("g++", "c++", "clang++", "cl"))):
                raise MissingCapabilityError(
                    "torch.compile needs a C++ compiler; on Debian: apt-get install g++"
                )
            self._module = torch.compile(self._module, dynamic=False)
        self._graphs: dict[tuple[tuple[int, ...], ...], _Captured] | None = {} if graph else None
        self._title = "torch.compile in torch" if compile_it else "CUDA graph of torch" if graph else "torch"
        self._threads, self._device = threads, device
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        if device == "cuda":
            self.inside_nanoseconds = 0
            choose_kernels_by_trial()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module once; see `Runtime.run`.

        Raises:
            InputError: the module gives another number of tensors than it is said to.
            MemoryError: it needs more memory than the GPU has.
        """
        torch = self._torch
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tensors = [self._sent(torch.from_numpy(_writeable(feeds[spec.name]))) for spec in self.inputs]
                result = self._on_gpu(tensors) if self._device == "cuda" else self._module(*tensors)
            except torch.OutOfMemoryError as error:
                raise MemoryError(first_line(error)) from error
            values = [result] if isinstance(result, torch.Tensor) else list(result)
        if len(values) != len(self.outputs):
            raise InputError(f"the module gives {len(values)} outputs, not {len(self.outputs)}")
        return {spec.name: self._received(value) for spec, value in zip(self.outputs, values, strict=True)}

    def _sent(self, tensor: Any) -> Any:  # noqa: ANN401 - a tensor; torch is imported late
        half = tensor.is_floating_point() and self._precision in ("fp16", "bf16")
        return tensor.to(self._device, self._dtype) if half else tensor.to(self._device)

    def _received(self, tensor: Any) -> Array:  # noqa: ANN401 - as above
        wide = tensor.float() if tensor.dtype in (self._torch.float16, self._torch.bfloat16) else tensor
        return np.asarray(wide.cpu().numpy())

    def _on_gpu(self, tensors: list[Any]) -> Any:  # noqa: ANN401 - as above
        with self._lock, tf32(allowed=self._precision == "tf32"):
            call: Callable[[], Any] = lambda: self._module(*tensors)  # noqa: E731
            if self._graphs is not None:
                shapes = tuple(tuple(tensor.shape) for tensor in tensors)
                if shapes not in self._graphs:
                    self._graphs[shapes] = _Captured(self._module, tensors)
                graph = self._graphs[shapes]
                graph.fill(tensors)
                call = graph.replay
            results: list[Any] = []
            self.inside_nanoseconds = event_nanoseconds(lambda: results.append(call()))
            # A graph's next run writes to the same memory.
            return results[0] if self._graphs is None else _copied(results[0])

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        version = self._torch.__version__.partition("+")[0]
        where = describe_gpu() if self._device == "cuda" else "CPU"
        how = {"fp32": ", without TF32" if self._device == "cuda" else "", "tf32": ", with TF32"}.get(
            self._precision, f" in {self._precision}"
        )
        threads = "default threads" if self._threads is None else f"{self._threads} thread(s)"
        return f"{self._title} {version}, {where}{how}, {threads}"


def _copied(result: Any) -> Any:  # noqa: ANN401 - a tensor, or several
    return result.clone() if hasattr(result, "clone") else [tensor.clone() for tensor in result]


class _Captured:
    """A run of a module as a CUDA graph, whose inputs and outputs lie where they lay when it was captured.

    Args:
        module: what is run.
        tensors: inputs of the shapes that it is for.
    """

    def __init__(self, module: Callable[..., Any], tensors: Sequence[Any]) -> None:
        self._inputs = [tensor.clone() for tensor in tensors]
        self._launch, self._output = captured(lambda: module(*self._inputs))

    def fill(self, tensors: Sequence[Any]) -> None:
        """Put other numbers into the inputs."""
        for mine, given in zip(self._inputs, tensors, strict=True):
            mine.copy_(given)

    def replay(self) -> Any:  # noqa: ANN401 - as above
        """Launch it; the output is overwritten by the next launch."""
        self._launch()
        return self._output


def load_program(
    file: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    device: str = "cpu",
    **how: Unpack[How],
) -> TorchProgram:
    """A file of torch.export, moved to `device`; the arguments are those of `TorchProgram`.

    Raises:
        InputError: torch refuses the file, or see `TorchProgram`.
        MissingCapabilityError: see `TorchProgram`.
    """
    import torch

    if device == "cuda":
        require_cuda()
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
    return TorchProgram(module, inputs, outputs, device=device, **how)


def _writeable(array: Array) -> Array:
    """The array, copied if it is a view of a request's bytes: torch has no read-only tensors."""
    return array if array.flags.writeable else np.array(array)
