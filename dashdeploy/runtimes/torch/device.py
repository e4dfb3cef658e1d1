"""What torch computes on: a GPU in words, the precision of float32 there, and how a call is timed.

Written against the documented API of ``torch.cuda``; no GPU has run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_args

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.gpus import find_gpus

TorchPrecision = Literal["fp32", "tf32", "fp16", "bf16"]
"""In what a program of float32 is computed: as it is; with products and convolutions of TF32's ten bits, on a GPU; or
with all of its numbers in half precision."""

Result = TypeVar("Result")

_WARM_UPS = 3

PRECISIONS: tuple[TorchPrecision, ...] = get_args(TorchPrecision)


def require_cuda() -> None:
    """Refuse to go on without a GPU.

    Raises:
        MissingCapabilityError: torch has none.
    """
    import torch

    if not torch.cuda.is_available():
        why = "is built without CUDA" if torch.version.cuda is None else "sees no NVIDIA GPU"
        raise MissingCapabilityError(
            f"torch {torch.__version__} {why} ({find_gpus()[1]}); install the driver and a CUDA build of torch with: "
            "pip install torch"
        )


def check_precision(precision: str, device: str) -> TorchPrecision:
    """Refuse a precision that is none, or that the device does not have.

    Args:
        precision: one of `PRECISIONS`.
        device: ``cpu`` or ``cuda``.

    Raises:
        InputError: it is another, or ``tf32`` on the CPU.
    """
    for known in PRECISIONS:
        if precision == known:
            if known == "tf32" and device == "cpu":
                raise InputError("`precision=tf32` is of GPUs; use `device=cuda`, or another precision")
            return known
    raise InputError(f"`precision={precision}`: no such precision; choose from {', '.join(PRECISIONS)}")


def describe_gpu() -> str:
    """The GPU, the driver's CUDA, torch's CUDA and cuDNN, in one line."""
    import torch

    cudnn: Any = torch.backends.cudnn
    major, minor = torch.cuda.get_device_capability()
    return (
        f"{torch.cuda.get_device_name()} (compute capability {major}.{minor}), {find_gpus()[1]}, "
        f"CUDA {torch.version.cuda} and cuDNN {cudnn.version()} in torch"
    )


@contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """Within the block, products and convolutions of float32 on a GPU may, or may not, round to TF32's ten bits.

    Torch lets convolutions do so by default. These are its older flags: torch.compile reads them, and that fails once
    the newer ones (``fp32_precision``) were set.
    """
    import torch

    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def choose_kernels_by_trial() -> None:
    """Let cuDNN try its kernels for every shape of a convolution that is new, for all of torch in this process.

    What it chooses otherwise, by rules, is often not its best for long or dilated kernels.
    """
    import torch

    torch.backends.cudnn.benchmark = True


def event_nanoseconds(call: Callable[[], object]) -> int:
    """The nanoseconds from the first to the last thing that a call does on the GPU.

    Calls return before they are done. Events in the current stream are recorded before and after; the device is idle
    before the first, so that launches count where it waits for them.
    """
    import torch

    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return round(1e6 * float(start.elapsed_time(end)))


def captured(run: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
    """What `run` does on the GPU as a CUDA graph, by the pattern of torch's notes on CUDA semantics.

    It runs on a side stream first, in which libraries choose their kernels and take their memory.

    Args:
        run: reads and writes the same memory every time, and never waits for the GPU.

    Returns:
        What launches it all at once, and what `run` gave: every launch writes its result there.
    """
    import torch

    cuda: Any = torch.cuda
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        for _ in range(_WARM_UPS):
            run()
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        result = run()
    return graph.replay, result
