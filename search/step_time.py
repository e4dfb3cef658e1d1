"""What a training step of each network takes on this machine, and with how many threads.

On a machine that other programs use as well, the threads of one operator wait for each other: the last one to get a
processor decides when all may go on. A step was measured to take up to twenty times as long there as with one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from dashdeploy.backbones.build import build_backbone, replace
from dashdeploy.data.task import Task
from dashdeploy.ops.aggconv.rates import Rates
from dashdeploy.ops.conv.padded_conv import with_kernel
from dashdeploy.ops.training.prepare import prepare_for_training
from dashdeploy.ops.training.reparameterization import reparameterize
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.ranks import devices_of
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.computation_rates import HALF
from dashdeploy.search.supernet.networks import (
    backbone_arguments,
    backbone_name,
    network_arguments,
    supernet_of,
)

SLOW, FEW = 3.0, 2
"""Seconds of a step from which it is counted, not timed, since one may take minutes; and the samples that tell it."""
MEASURED, LEAST_SECONDS, MOST_SECONDS = 3, 0.5, 4.0
"""Steps of a measurement after the first, for how long at least, and how long it goes on for either."""


@dataclass(frozen=True)
class StepSeconds:
    """What a training step takes, in seconds.

    Attributes:
        supernet: of the search.
        searched: of a network with the largest kernels that the search can find, and a middling dilation.
        backbone: of the backbone as it is.
        threads: that they were measured with; None is as many as torch takes by itself.
    """

    supernet: float
    searched: float
    backbone: float
    threads: int | None = None


def measured_steps(task: Task, settings: RunSettings, rates: Rates | None = None) -> list[StepSeconds]:
    """Train each network for some steps on the first batch, and throw it away; the random state stays.

    Args:
        task: the data.
        settings: the networks and the device.
        rates: see `supernet_of`.

    Returns:
        What the steps take with as many threads as torch takes by itself and, where these are several on one
        processor, with one.
    """
    name, arguments = backbone_name(task, settings), network_arguments(task, settings, retrain=True)
    counts = thread_counts(settings)
    with torch.random.fork_rng():
        mixture = supernet_of(task, settings, rates)[0]
        names = list(agg_convs(mixture))
        largest = max(settings.kernel_sizes), sorted(settings.dilations)[(len(settings.dilations) - 1) // 2]
        largest_kernels = build_backbone(name, arguments)
        for each, conv in [(each, largest_kernels.get_submodule(each)) for each in names]:
            assert isinstance(conv, (nn.Conv1d, nn.Conv2d)), each
            replace(largest_kernels, conv, with_kernel(conv, *largest))
        if settings.reparameterize:
            reparameterize(largest_kernels)
        backbone = build_backbone(name, backbone_arguments(task, settings, retrain=True))
        measured = [step_seconds(each, task, settings, counts) for each in (mixture, largest_kernels)]
        measured.append(_seconds_of_backbone(backbone, task, settings, counts))
    return [
        StepSeconds(supernet, searched, backbone, None if place == 0 else counts[place])
        for place, (supernet, searched, backbone) in enumerate(zip(*measured, strict=True))
    ]


def _seconds_of_backbone(
    backbone: nn.Module, task: Task, settings: RunSettings, counts: Sequence[int]
) -> list[float]:
    """Beside a smaller network, the backbone may be slow: a few samples tell whether a step is worth waiting for."""
    if settings.searched_arguments:
        few = step_seconds(backbone, task, settings, counts, samples=FEW)
        of_process = settings.batch_size // devices_of(settings).processes
        whole = [seconds * of_process / FEW for seconds in few]
        if min(whole) > SLOW:
            return whole
    return step_seconds(backbone, task, settings, counts)


def thread_counts(settings: RunSettings) -> list[int]:
    """With how many threads steps are timed: as many as torch takes by itself, then one, if these differ."""
    devices, own = devices_of(settings), torch.get_num_threads()
    return [own] if devices.is_cuda or devices.processes > 1 or own == 1 else [own, 1]


def step_seconds(
    network: nn.Module,
    task: Task,
    settings: RunSettings,
    counts: Sequence[int],
    *,
    samples: int | None = None,
) -> list[float]:
    """The fastest of some steps of training `network` with each of these numbers of threads, in turns.

    Others may use the machine meanwhile, so quick steps are repeated for long enough to have it alone once.

    Args:
        network: in any state; its weights change.
        task: the data.
        settings: the batch and the device.
        counts: numbers of threads.
        samples: of a step; None is a batch.
    """
    device = torch.device("cuda" if devices_of(settings).is_cuda else "cpu")
    network = network.to(device).train()
    # As every training does: large kernels on small images take many times as long with them.
    prepare_for_training(network)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-6, fused=device.type == "cpu" or None)
    part = slice(0, samples or max(2, settings.batch_size // devices_of(settings).processes))
    inputs, targets = task.train.inputs[part].to(device), task.train.targets[part].to(device)
    dtype = HALF.get(settings.precision)

    def step() -> float:
        started = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = task.loss(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    fastest, rounds, total = [math.inf] * len(counts), 0, 0.0
    while rounds < 2 or (total < MOST_SECONDS and (rounds <= MEASURED or total < LEAST_SECONDS)):
        for place, count in enumerate(counts):
            with computing_with(count):
                seconds = step()
            total += seconds
            if rounds:
                fastest[place] = min(fastest[place], seconds)
        rounds += 1
    return fastest


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Compute with so many threads of the processor; None leaves their number as it is."""
    own = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(own)
