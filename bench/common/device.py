"""The device of a measurement: whether it is here, what it is, and how a call on it is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.timing import Clock

DeviceName = Literal["cpu", "cuda"]


def check_device(device: str) -> None:
    """Refuse a device that is none, or is not here.

    Args:
        device: ``cpu``, or ``cuda`` for this machine's first GPU.

    Raises:
        InputError: it is neither.
        MissingCapabilityError: torch has no GPU.
    """
    if device not in ("cpu", "cuda"):
        raise InputError(f"`device={device}`: no such device; choose from cpu, cuda")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        why = "is built without CUDA" if torch.version.cuda is None else "sees no NVIDIA GPU"
        raise MissingCapabilityError(
            f"`device=cuda`: torch {torch.__version__} {why} ({find_gpus()[1]}); use cpu, or install the driver and "
            "a CUDA build of torch with: pip install torch"
        )


def describe_device(device: str) -> str | None:
    """The GPU, the driver's CUDA, torch's CUDA and cuDNN, in one line; None for the CPU."""
    if device == "cpu":
        return None
    import torch

    cudnn: Any = torch.backends.cudnn
    major, minor = torch.cuda.get_device_capability()
    return (
        f"{torch.cuda.get_device_name()} (compute capability {major}.{minor}), {find_gpus()[1]}, "
        f"CUDA {torch.version.cuda} and cuDNN {cudnn.version()} in torch"
    )


@contextmanager
def without_tf32() -> Iterator[None]:
    """Within the block, float32 is float32 on a GPU; torch lets convolutions round to TF32's ten bits by default."""
    import torch

    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def clock_of(device: str) -> Clock | None:
    """Times one call on the device, in nanoseconds; None where the wall clock does, as on the CPU.

    On a GPU calls return before they are done. Events in the device's own stream are recorded before and after; the
    device is idle before the first, so that launches count where it waits for them.
    """
    if device == "cpu":
        return None
    import torch

    event: Any = torch.cuda.Event

    def nanoseconds(call: Callable[[], object]) -> int:
        start, end = event(enable_timing=True), event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return round(1e6 * float(start.elapsed_time(end)))

    return nanoseconds
