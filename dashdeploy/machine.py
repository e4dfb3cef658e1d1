"""What machine this is, as measurements and plans are labeled with it, and where it keeps them for the next time."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_TOPOLOGY = Path("/sys/devices/system/cpu")

_VECTORS = {
    "amx_tile": "AMX",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "sve": "SVE",
    "asimd": "NEON",
}
"""Linux's flags of vector extensions, the fastest first."""


def cpu_model() -> str:
    """The processor's model, and on Linux its fastest vector extension.

    Virtual machines often hide the model ("AMD EPYC"), while convolutions take twice as long with AVX2 as with
    AVX-512: what was measured with one says little about the other.
    """
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        text = ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine() or "unknown processor"
    flags = fields.get("flags", fields.get("Features", "")).split()
    vectors = next((name for flag, name in _VECTORS.items() if flag in flags), None)
    return f"{model} ({vectors})" if vectors else model


def cores() -> int:
    """The logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """The cores that this process may use; where Linux says which logical ones share a core, each counts once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    shared = set()
    for logical in os.sched_getaffinity(0):
        try:
            shared.add(
                (_TOPOLOGY / f"cpu{logical}/topology/thread_siblings_list").read_text(encoding="ascii")
            )
        except OSError:  # a container may hide it
            return cores()
    return len(shared)


def describe_machine() -> str:
    """Processor, cores that this process may use, and operating system, in one line."""
    return f"{cpu_model()}, {cores()} logical core(s), {platform.system()} {platform.machine()}"


def free_memory() -> int | None:
    """Bytes that programs may still take without swapping; None where the operating system does not tell."""
    try:
        text = _MEMINFO.read_text(encoding="ascii", errors="replace")
        return next(
            int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("MemAvailable:")
        )
    except (OSError, StopIteration):  # not Linux
        return None


def cache_folder() -> Path:
    """``$DASHDEPLOY_CACHE``, or ``dashdeploy`` in the user's cache folder (XDG base directories)."""
    chosen = os.environ.get("DASHDEPLOY_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dashdeploy"
