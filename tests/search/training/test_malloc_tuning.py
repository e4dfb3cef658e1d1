"""Freed memory is used again instead of faulted in again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashdeploy.search.training import malloc_tuning

_COUNT = """
import resource
import torch
from dashdeploy.search.training.malloc_tuning import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [torch.ones(2**20) for _ in range(8)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with keep_freed_memory():
    print(min(faults() for _ in range(3)))  # the heap may grow for some rounds until all of them fit
"""
PAGES = 20 * 8 * 1024  # what 20 rounds of 32 MiB take if each is faulted in again


def _faults(**environment: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _COUNT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc's allocator that is told")
def test_memory_is_faulted_in_once_unless_the_environment_says_otherwise() -> None:
    assert _faults() < PAGES / 100
    assert _faults(MALLOC_MMAP_THRESHOLD_="131072") > PAGES / 2


_FLAGS = """
import resource, sys
from dashdeploy.search.training.malloc_tuning import keep_freed_memory

if "limit" in sys.argv:
    resource.setrlimit(resource.RLIMIT_AS, (2**40, resource.RLIM_INFINITY))

def heap():
    part, size = None, 0
    for line in open("/proc/self/smaps"):
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            part = words[-1]
        elif part == "[heap]" and words[0] == "Size:":
            size = max(size, int(words[1]))
        elif part == "[heap]" and words[0] == "VmFlags:" and "hg" in words:
            return "advised", size
    return "as it was", size

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

before = resident()
with keep_freed_memory():
    print(*heap(), resident() - before)
"""


def _heap(*arguments: str) -> tuple[str, int, int]:
    done = subprocess.run(
        [sys.executable, "-c", _FLAGS, *arguments], capture_output=True, text=True, check=True
    )
    advised, size, grown = done.stdout.rsplit(maxsplit=2)
    return advised, int(size), int(grown)


def _may_have_large_pages() -> bool:
    if not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists():
        return False
    libc = ctypes.CDLL(None)
    # Older versions refuse thresholds above 32 MiB; the ones that are set here are their own.
    if not hasattr(libc, "gnu_get_libc_version") or not libc.mallopt(-3, 2**30):
        return False
    libc.mallopt(-3, 32 * 2**20)
    return not malloc_tuning._addresses_are_counted()


@pytest.mark.skipif(
    not _may_have_large_pages(),
    reason="no large pages, no glibc that grows its heap, or addresses are counted",
)
def test_the_heap_is_advised_to_have_large_pages_before_it_is_used() -> None:
    advised, size, grown = _heap()
    assert advised == "advised"
    assert size >= 2**20 - 2**12  # KiB: at least a GiB of addresses
    assert grown < 2**14  # and of memory, no more than a few pages


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc's allocator that is told")
def test_under_a_limit_of_addresses_the_heap_stays_small() -> None:
    advised, size, _ = _heap("limit")
    assert advised == "as it was"
    assert size < 2**19
