"""Freed memory stays with the process while it trains, in large pages.

glibc gives memory back to the system as soon as some megabytes at the end of its heap are free. A training step
frees its activations and asks for the same again, and every page that comes back costs a page fault and is filled
with zeros: on virtual machines up to 3 microseconds per 4 KiB, a fifth of a step of the search.

A step reads and writes more memory than the processor has addresses at hand for in pages of 4 KiB. Most systems give
pages of 2 MiB to those that ask. glibc asks for its whole heap where GLIBC_TUNABLES says so before a process starts;
here the heap is made large first, which takes addresses and no memory, and then advised.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import resource

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3), malloc.h
_NEVER, _LARGEST_BLOCK = -1, 2**30
_HUGE_PAGE, _ADVICE = 2**21, 14  # MADV_HUGEPAGE of madvise(2)
_LARGEST_HEAP = 8
"""Blocks of a GiB that the heap is made large by, at most; what it grows beyond them has small pages."""

_GLIBC_OWN = 32 * 2**20
"""How far glibc raises its threshold for blocks of their own by itself; the other one is twice that."""

_SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_PERTURB_")


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory for the next allocation, in large pages, and give it back to the system at the end.

    Does nothing without glibc, or if the environment has settings of its own for the allocator. Pages stay small
    where addresses are counted: under a limit (``ulimit -v``), or where the system promises no more than it has.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    grows = libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    if not grows:  # an older glibc
        libc.mallopt(_MMAP_THRESHOLD, _GLIBC_OWN)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    if grows and not _addresses_are_counted():
        _advise_large_pages(libc)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _GLIBC_OWN)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _GLIBC_OWN)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    set_by_user = any(name in os.environ for name in _SET_BY_USER)
    if (
        not sys.platform.startswith("linux")
        or set_by_user
        or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    ):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def _advise_large_pages(libc: ctypes.CDLL) -> None:
    """Make the heap as large as a quarter of the memory, and advise large pages for all of it."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    count = min(memory // 2**32 + 1, _LARGEST_HEAP)
    blocks = [libc.malloc(_LARGEST_BLOCK - _HUGE_PAGE) for _ in range(count)]
    for block in reversed(blocks):
        libc.free(block)
    for start, end in _heap():
        first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
        if first < end:
            libc.madvise(first, end - first, _ADVICE)  # where it is refused, pages stay small


def _heap() -> list[tuple[int, int]]:
    """First and last address of each part of the heap; none where the system does not tell."""
    try:
        parts = [line.split() for line in Path("/proc/self/maps").read_text(errors="replace").splitlines()]
    except OSError:
        return []
    heaps = [part[0].split("-") for part in parts if part[-1] == "[heap]"]
    return [(int(start, 16), int(end, 16)) for start, end in heaps]


def _addresses_are_counted() -> bool:
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return True
    if resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY:
        return True
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2"
    except OSError:
        return True
