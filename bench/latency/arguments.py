"""What a latency measurement can be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.common.checks import check_count, check_seconds
from dashdeploy.bench.common.device import check_device
from dashdeploy.bench.latency.variants import ALL, OF_TORCH
from dashdeploy.errors import InputError
from dashdeploy.runtimes.torch.device import check_precision


def check_arguments(
    bundles: Sequence[Bundle],
    batches: Sequence[int],
    threads: Sequence[int],
    seconds: float,
    *,
    cpu_time: bool,
) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: there is nothing to measure, a number is out of range, or one is given twice.
    """
    if not bundles:
        raise InputError("no bundle to measure; give at least one")
    for noun, values in (("batch", batches), ("threads", threads)):
        if not values:
            raise InputError(f"no {noun} size to measure; give at least one, such as 1")
        for value in values:
            if noun == "threads":
                check_count("threads", value)
            elif value < 1:
                raise InputError(f"batch {value} is not a batch size; use integers from 1 up")
        if len(set(values)) != len(values):
            raise InputError(f"{noun} sizes {', '.join(map(str, values))}: one appears twice; give each once")
    check_seconds(seconds)
    if cpu_time and list(threads) != [1]:
        raise InputError("`cpu_time` is of one thread; set `threads=1`, or leave `cpu_time` out")


def check_device_of(
    device: str, engines: Sequence[str] | None, precisions: Sequence[str], *, memory: bool
) -> None:
    """Refuse a device that nothing would run on, and precisions that nothing would run in.

    Raises:
        InputError: no engine that was named takes it, or memory is asked for, which is the CPU's.
        MissingCapabilityError: the device is not here.
    """
    check_device(device)
    of_torch = {ALL, *OF_TORCH} & set(engines or ())
    for precision in precisions:
        check_precision(precision, device)
    if len(set(precisions)) != len(precisions) or not precisions:
        raise InputError(f"`precisions={','.join(precisions)}`: give at least one, and each once")
    if tuple(precisions) != ("fp32",) and not of_torch:
        raise InputError(
            "`precisions` has no effect without the engines torch, torch-compile or torch-cuda-graph; any other "
            "engine computes in the precision of its file"
        )
    if device == "cpu":
        return
    if not of_torch:
        raise InputError(
            f"`device={device}` has no effect without the engines torch or torch-compile (or torch-cuda-graph); the "
            "name of any other engine says where it runs: name ort-cuda, torch-cuda, tensorrt or tensorrt-rtx"
        )
    if memory:
        raise InputError(f"`memory` is of the CPU's and has no effect with `device={device}`; leave it out")
