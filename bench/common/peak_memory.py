"""Peak memory of a piece of work, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dashdeploy.errors import InputError

_STATUS = Path("/proc/self/status")


def peak_of_module(module: str, arguments: list[str], *, stdin: str = "") -> float | None:
    """MiB of resident memory at the peak of ``python -m module arguments``, which prints what `own_peak_mib` gives.

    None where the operating system does not tell (it is read from ``/proc``).

    Raises:
        InputError: the process failed or was killed, which is what Linux does when memory runs out.
    """
    if not _STATUS.exists():
        return None
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed; is there enough memory?"])[-1]
        raise InputError(f"the process that measures memory ({' '.join(arguments)}) failed: {reason}")
    return float(done.stdout.split()[-1])


def own_peak_mib() -> float:
    """MiB of resident memory that this process has had at its peak."""
    # Not ru_maxrss: that starts at the parent's.
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_STATUS} has no VmHWM")
