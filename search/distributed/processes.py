"""The processes of a run on several devices: how they meet, keep in step, tell each other values, and end together.

Each runs the same command with another rank, so each reads the data for itself. torchrun and SLURM start them
elsewhere; on one machine `launch` does.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from dashdeploy.errors import DashdeployError
from dashdeploy.search.config.devices import Devices
from dashdeploy.search.distributed.launch import end_with_parent, started_here, variables
from dashdeploy.search.distributed.ranks import (
    RUN,
    is_slurm_step,
    local_rank,
    rank,
    started_by_others,
)
from dashdeploy.search.distributed.watch import PATIENCE_SECONDS, LostProcessError, watched

_RUNS = count()
"""Numbers the runs of this program, which are the same in all its processes."""
LONGEST_WAIT = timedelta(days=1)
"""For the others, which a trial of a tuning may keep; `watch` notices a process that is gone or has failed."""
LEAVING_SECONDS = 3.0


Content = TypeVar("Content")


def helps_another(out: Path) -> bool:
    """Whether this process was started for another run than `out`: its program has several, and comes by this one."""
    return os.environ.get(RUN, str(out.resolve())) != str(out.resolve())


@contextmanager
def all_processes(devices: Devices, out: Path) -> Iterator[None]:
    """Within the block, every device has its process, they are connected, and end when it ends.

    Raises:
        LostProcessError: one of them ended before.
        InputError: torchrun or SLURM has started others than `devices` says.
    """
    if devices.processes == 1:
        yield
    elif RUN in os.environ:
        end_with_parent()
        with _connected(devices):
            yield
    elif started_by_others(devices):
        with lost_connection_named(), _connected(devices):
            yield
    else:
        with started_here(devices, out), _connected(devices):
            yield


@contextmanager
def helper() -> Iterator[None]:
    """What a process runs that is not the run's own; if that one started it, it ends here with the run."""
    try:
        yield
    except DashdeployError:
        # The run's own process has met the same, says so, and ends this one; unless it happened here alone.
        if RUN in os.environ:
            time.sleep(PATIENCE_SECONDS)
        raise
    if RUN in os.environ:
        sys.exit(0)


def wait_for_all() -> None:
    """Go on when every process of the run is here."""
    if dist.is_initialized():
        dist.barrier()


def from_all(mine: Content) -> list[Content]:
    """What every process of the run gives, by rank; files may take a while to reach other machines."""
    if not dist.is_initialized():
        return [mine]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found


def from_first(mine: Content) -> Content:
    """What the first process of the run gives; what the others give is of no account."""
    if not dist.is_initialized():
        return mine
    content: list[Any] = [mine]
    dist.broadcast_object_list(content, src=0)
    given: Content = content[0]
    return given


@contextmanager
def _connected(devices: Devices) -> Iterator[None]:
    """The process group of torch, which Lightning finds and uses."""
    meeting = slurm_meeting() if is_slurm_step() else {}
    unset = {name: value for name, value in meeting.items() if name not in os.environ}
    if devices.is_cuda:
        torch.cuda.set_device(local_rank(devices))
    with variables(unset):  # MASTER_PORT may be the user's own
        found = rendezvous("env://", rank(devices), devices.processes, timeout=LONGEST_WAIT)
        store, number, processes = next(iter(found))
        # torchrun's store outlives a run, and would tell a program's next one the addresses of this one.
        store = PrefixStore(f"run {next(_RUNS)}", store)
        with watched(store, number, quiet=RUN in os.environ):
            try:
                dist.init_process_group(
                    "nccl" if devices.is_cuda else "gloo",
                    store=store,
                    rank=number,
                    world_size=processes,
                    timeout=LONGEST_WAIT,
                    device_id=torch.device("cuda", local_rank(devices)) if devices.is_cuda else None,
                )
                yield
            except BaseException:
                _leave_the_others()
                raise
            if dist.is_initialized():
                dist.destroy_process_group()


def _leave_the_others() -> None:
    """Leave the group without waiting for the others, which may wait for this process in their turn."""
    if not dist.is_initialized():
        return
    on_gpus = dist.get_backend() == "nccl"
    # To destroy a group of NCCL waits for what is on its way in it; to abort it does not, and may hang all the same.
    leave = dist.distributed_c10d._abort_process_group if on_gpus else dist.destroy_process_group
    thread = threading.Thread(target=leave, daemon=True)
    thread.start()
    thread.join(LEAVING_SECONDS)


@contextmanager
def lost_connection_named() -> Iterator[None]:
    """Say in words that torch does not reach the others any more; gloo has no class of errors of its own."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or re.search(r"\bgloo[/:]|\bGloo\b", str(error)):
            raise LostProcessError(
                "the connection to another process of this run is lost; see what that one said, and go on with "
                "`resume=True`"
            ) from error
        raise


def slurm_meeting() -> dict[str, str]:
    """Where the processes of a step of SLURM meet: on its first machine, at a port by the numbers of job and step.

    Lightning goes by the job's number alone, so that two steps of one job would meet.
    """
    environment = os.environ
    number = 97 * int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])
    address = SLURMEnvironment.resolve_root_node_address(environment["SLURM_STEP_NODELIST"])
    return {"MASTER_ADDR": address, "MASTER_PORT": str(15000 + number % 15000)}


class ProcessEnvironment(LightningEnvironment):
    """Tells Lightning which process of the run this is, whoever started it, instead of letting it find out.

    Lightning would take SLURM for the starter of whatever runs in one of its jobs, and refuse ``srun --ntasks``.

    Args:
        devices: of the run.
        alone: whether this process trains a network of its own.
    """

    def __init__(self, devices: Devices, *, alone: bool) -> None:
        super().__init__()
        self.set_world_size(1 if alone else devices.processes)
        self._global_rank = 0 if alone else rank(devices)
        self._local_rank = local_rank(devices)
        self._node_rank = rank(devices) // devices.count
        # For its loggers; it would have asked SLURM.
        rank_zero_only.rank = self._global_rank  # type: ignore[attr-defined]

    @property
    def creates_processes_externally(self) -> bool:
        """All are there already."""
        return True

    def set_global_rank(self, rank: int) -> None:
        """It is known; Lightning would have counted it."""

    def local_rank(self) -> int:
        """The number of this process on its machine."""
        return self._local_rank

    def node_rank(self) -> int:
        """The number of its machine."""
        return self._node_rank

    def teardown(self) -> None:
        """The environment's variables are not Lightning's."""
