"""The processes of a run on one machine: this program starts itself once per device, and watches the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch._C._distributed_c10d import TCPStore

from dashdeploy.search.config.devices import Devices
from dashdeploy.search.distributed.ranks import RUN
from dashdeploy.search.distributed.watch import (
    PATIENCE_SECONDS,
    POLL_SECONDS,
    LostProcessError,
    interrupt,
)

LOCALHOST = "127.0.0.1"


@contextmanager
def variables(added: Mapping[str, str]) -> Iterator[None]:
    """Within the block, these variables of the environment are set."""
    before = {name: os.environ.get(name) for name in added}
    os.environ |= added
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def started_here(devices: Devices, out: Path) -> Iterator[None]:
    """Within the block, this program runs once more on this machine for every other device.

    Raises:
        LostProcessError: one of them ended before the block.
    """
    # Torch's store of this process at this port is the same one, so nobody else gets the port meanwhile.
    store = TCPStore(LOCALHOST, 0, is_master=True, wait_for_workers=False, multi_tenant=True)
    shared = {
        "MASTER_ADDR": LOCALHOST,
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(devices.processes),
        "NODE_RANK": "0",
    }
    command = [sys.executable, *sys.orig_argv[1:]]
    others: list[subprocess.Popen[bytes]] = []
    watch = _Watch(others)
    try:
        for number in range(1, devices.processes):
            own = {RUN: str(out.resolve())} | _rank(number)
            others.append(
                subprocess.Popen(
                    command,
                    env=os.environ | shared | own,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            )
        with variables(shared | _rank(0)):
            yield
        watch.over.set()
        _wait(others)
    except (RuntimeError, KeyboardInterrupt) as error:
        # A collective operation fails where a process has gone; on GPUs it hangs, and the watch ends it.
        lost = watch.look_once_more() if isinstance(error, RuntimeError) else watch.lost
        if lost is None:
            raise
        raise LostProcessError(f"{_said(lost)}, and go on with `resume=True`") from error
    finally:
        watch.over.set()
        watch.left.set()
        for process in others:
            process.kill()
            process.wait()


def _said(lost: subprocess.Popen[bytes]) -> str:
    return f"a process of this run ended with exit code {lost.returncode}; see what it said above"


def _rank(number: int) -> dict[str, str]:
    # Both, since a job of SLURM has ranks of its own.
    return {"RANK": str(number), "LOCAL_RANK": str(number)}


class _Watch:
    """A thread that interrupts this process when another one is lost.

    Attributes:
        over: set when they may end.
        lost: the first that ended before.
        noticed: set when this process has noticed by itself that something is wrong.
        left: set when it is on its way out.
    """

    def __init__(self, others: list[subprocess.Popen[bytes]]) -> None:
        self.others, self.over, self.noticed = others, threading.Event(), threading.Event()
        self.left = threading.Event()
        self.lost: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.over.wait(POLL_SECONDS):
            for process in self.others:
                if process.poll() not in (None, 0):
                    self.lost = process
                    self.over.set()
                    if not self.noticed.is_set():
                        interrupt(self.left, _said(process), self._kill)
                    return

    def _kill(self) -> None:
        for process in self.others:
            process.kill()

    def look_once_more(self) -> subprocess.Popen[bytes] | None:
        """The one that is lost, which may be seen a little later than its absence is felt."""
        self.noticed.set()
        try:
            self.over.wait(4 * POLL_SECONDS)
        except KeyboardInterrupt:
            if self.lost is None:
                raise
        return self.lost


def _wait(processes: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return


def end_with_parent() -> None:
    """Let this process end at once when the run's own process is gone, whatever it waits for."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the run's own process ends the others
