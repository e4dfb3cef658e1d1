"""Which of a run's processes this one is, who started it, and whether every device is there.

Every device has a process of its own, which holds all of the data and takes its part of every batch (torch's
DistributedDataParallel, through Lightning). A process has a rank; that of rank 0 is the run's own: it alone writes.
"""

from __future__ import annotations

import os
import sys

import torch

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.search.config.devices import Devices, read_devices
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import SearchSettings

RUN = "DASHDEPLOY_RUN"
"""Names the run that a process was started to help with."""


def devices_of(settings: SearchSettings) -> Devices:
    """The devices that the settings name."""
    return read_devices(settings.devices, settings.nodes)


def check_devices(settings: RunSettings, samples: int, held_out: int) -> None:
    """Find out before long work whether the devices are there and each gets a part of every batch.

    Args:
        settings: with the devices and the batch size.
        samples: of training.
        held_out: samples of validation.

    Raises:
        InputError: the batch or the data cannot be divided among so many, or so many processes cannot be started.
        MissingCapabilityError: there are not so many.
    """
    devices = devices_of(settings)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if devices.accelerator == "cuda" and not gpus:
        raise MissingCapabilityError(
            f"devices = '{settings.devices}': torch sees no NVIDIA GPU; use 'auto', or install the driver and a "
            "CUDA build of torch with: pip install torch"
        )
    if devices.is_cuda and devices.count > gpus:
        raise MissingCapabilityError(
            f"devices = '{settings.devices}': torch sees {gpus} NVIDIA GPU{'s' if gpus > 1 else ''} on this machine; "
            f"use {gpus}, or cpu:{devices.count}"
            + ("; or let every task see all of them, without --gpus-per-task" if is_slurm_step() else "")
        )
    batch, processes = min(settings.batch_size, samples), devices.processes
    if processes > 1 and (batch < 2 * processes or held_out < processes):
        raise InputError(
            f"devices = '{settings.devices}': {processes} processes share batches of {batch} and {held_out} samples "
            "of validation, and each needs two of every batch and one of those; use fewer devices"
        )
    started = processes == 1 or RUN in os.environ or started_by_others(devices)
    if not started and (hasattr(sys, "ps1") or "ipykernel" in sys.modules):
        raise InputError(
            f"devices = '{settings.devices}': every device runs the whole program, which an interactive session is "
            "not; put it into a file"
        )


def device_of(settings: SearchSettings) -> torch.device:
    """What this process computes on."""
    devices = devices_of(settings)
    return torch.device("cuda", local_rank(devices)) if devices.is_cuda else torch.device("cpu")


def rank(devices: Devices) -> int:
    """This process's rank in its run; 0 where it runs alone."""
    return 0 if devices.processes == 1 else _number("RANK", "SLURM_PROCID")


def local_rank(devices: Devices) -> int:
    """This process's rank on its machine, which is the number of its device."""
    return 0 if devices.processes == 1 else _number("LOCAL_RANK", "SLURM_LOCALID")


def _number(*names: str) -> int:
    """The first of these variables that is set: torchrun's, which this program sets too, or SLURM's; 0 if none is."""
    return int(next((os.environ[name] for name in names if name in os.environ), "0"))


def is_slurm_step() -> bool:
    """Whether srun started this process together with others, and not as one that torchrun has in its care."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1


def started_by_others(devices: Devices) -> bool:
    """Whether torchrun or SLURM has started a process for every device.

    Raises:
        InputError: they have started another number, or such that they cannot meet; or there are several machines
            and neither has started anything.
    """
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        found, starter = int(environment["WORLD_SIZE"]), "torchrun"
        if environment.get("MASTER_PORT") == "0":
            # torchrun hands the word on, and every process would wait for the first at a port that is none.
            raise InputError(
                "torchrun --master-port 0 leaves the processes no port to meet at; use --standalone on one machine, "
                "--rdzv-endpoint HOST:PORT on several"
            )
    elif is_slurm_step():
        found, starter = int(environment["SLURM_STEP_NUM_TASKS"]), "SLURM"
    else:
        if devices.nodes > 1:
            raise InputError(
                f"nodes = {devices.nodes}: start the command on every machine with torchrun, or with srun under SLURM"
            )
        return False
    if found != devices.processes:
        raise InputError(
            f"{starter} started {found} processes, and `devices={devices.count}` on {devices.nodes} machines are "
            f"{devices.processes}; make them agree (`nodes=…`)"
        )
    if local_rank(devices) >= devices.count:
        raise InputError(
            f"{starter} started more than {devices.count} processes on this machine; start as many on each as "
            "`devices` says (--nproc-per-node, --ntasks-per-node)"
        )
    return True
