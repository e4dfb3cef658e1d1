"""Freed memory is used again instead of faulted in again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
