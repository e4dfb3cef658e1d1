"""Processes that wait for one that has failed end within seconds, and say why."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from dashdeploy.search.distributed import watch
from dashdeploy.search.distributed.watch import FAILED, watched


@pytest.fixture
def store():
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.3)


def test_who_fails_says_so_once(store):
    with pytest.raises(ZeroDivisionError), watched(store, 1, quiet=False):
        raise ZeroDivisionError("by nothing\nat all")
    with pytest.raises(KeyError), watched(store, 0, quiet=False):
        raise KeyError("too late")
    assert store.get(FAILED) == b"process 1 of this run failed: by nothing"


def test_who_meets_the_same_says_it_itself(store):
    store.set(FAILED, "process 1 of this run failed: it diverged")
    with pytest.raises(ValueError, match="it diverged here too"), watched(store, 0, quiet=False):
        time.sleep(0.2)
        raise ValueError("it diverged here too")


def test_a_run_without_failures_leaves_nothing_behind(store):
    before = threading.active_count()
    with watched(store, 0, quiet=False):
        time.sleep(0.2)
    assert threading.active_count() == before
    assert not store.check([FAILED])


HURRIED = """
import ctypes, os, sys, threading, time
from pathlib import Path
from dashdeploy.search.config.devices import Devices
from dashdeploy.search.distributed import launch, processes, watch

for module in (launch, watch):
    module.POLL_SECONDS = 0.1
watch.GRACE_SECONDS, watch.PATIENCE_SECONDS = 0.5, 1.0

def wait_in_c():
    \"\"\"Wait for ever, where no interruption arrives: for a mutex that is locked.\"\"\"
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)
"""
SLEEPS = (
    HURRIED
    + """
from torch.distributed import TCPStore

store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
store.set(watch.FAILED, "process 1 of this run failed: CUDA out of memory")
try:
    with watch.watched(store, 0, quiet=False):
        time.sleep(60)
except watch.LostProcessError as error:
    print(error)
"""
)
FAILS_AND_STAYS = (
    HURRIED
    + """
# As with NCCL, where the others do not notice: the group stays as it is.
processes._leave_the_others = lambda: None
try:
    with processes.all_processes(Devices("cpu", 2), Path("run")):
        if os.environ["RANK"] == "1":
            raise RuntimeError("CUDA out of memory. Tried 20 GiB")
        processes.wait_for_all()
except RuntimeError:
    time.sleep(600)
"""
)


def environment(**more):
    return os.environ | {"OMP_NUM_THREADS": "1"} | more


def finished(program, folder):
    (folder / "run.py").write_text(program)
    return subprocess.run(
        [sys.executable, "run.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_what_waits_is_interrupted(tmp_path):
    """In a process of its own: where an interruption does not arrive, it is ended."""
    done = finished(SLEEPS, tmp_path)
    said = "process 1 of this run failed: CUDA out of memory; go on with `resume=True`\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_a_rank_ends_when_another_has_failed_and_its_connections_stay(tmp_path):
    """The first one waits for the second in a barrier of gloo, in C++; the second is still there."""
    (tmp_path / "run.py").write_text(FAILS_AND_STAYS)
    master = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(master.port), "WORLD_SIZE": "2"}
    # As torchrun does it: the store is not the first process's.
    shared |= {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    both = [
        subprocess.Popen(
            [sys.executable, "run.py"],
            cwd=tmp_path,
            env=environment(RANK=str(number), LOCAL_RANK=str(number), **shared),
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        _, said = both[0].communicate(timeout=60)
        assert both[0].returncode == 1
        assert said.splitlines()[-1] == (
            "error: process 1 of this run failed: CUDA out of memory. Tried 20 GiB; resume the run to go on"
        )
        assert both[1].poll() is None
    finally:
        for process in both:
            process.kill()
            process.communicate()


LOST = (
    HURRIED
    + """
if launch.RUN in os.environ:
    print(os.getpid(), file=open("pid", "w"))
    time.sleep(0.5)
    sys.exit(3)
with launch.started_here(Devices("cpu", 2), Path("run")):
    wait_in_c()
"""
)


def test_the_first_process_ends_when_one_that_it_started_is_gone_and_it_does_not_notice(tmp_path):
    done = finished(LOST, tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: a process of this run ended with exit code 3; see what it said above; resume the run to go on\n"
    )
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
