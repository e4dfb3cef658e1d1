"""The device of a measurement: whether it is here, what it is, and how a call on it is timed."""

from __future__ import annotations

from typing import Literal

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.torch.device import describe_gpu, event_nanoseconds, require_cuda
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
    if device == "cuda":
        try:
            require_cuda()
        except MissingCapabilityError as error:
            raise MissingCapabilityError(f"`device=cuda`: {error}; or use cpu") from error


def describe_device(device: str) -> str | None:
    """The GPU, the driver's CUDA, torch's CUDA and cuDNN, in one line; None for the CPU."""
    return None if device == "cpu" else describe_gpu()


def clock_of(device: str) -> Clock | None:
    """Times one call on the device, in nanoseconds; None where the wall clock does, as on the CPU."""
    return None if device == "cpu" else event_nanoseconds
