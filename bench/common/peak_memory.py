"""Peak memory of a piece of work, in a process of its own; also what that process runs.

``python -m dashdeploy.bench.common.peak_memory MODULE:FUNCTION`` reads the function's arguments from stdin as a JSON
object, calls it, and prints the MiB that the process has had at its peak.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from dashdeploy.errors import InputError

_STATUS = Path("/proc/self/status")


def peak_mib_of(work: Callable[..., None], arguments: Mapping[str, object], *, title: str) -> float | None:
    """MiB of resident memory at the peak of a process that calls `work`, with all that it imports for it.

    Args:
        work: a function of a module, which is imported anew in that process.
        arguments: its keyword arguments, as JSON can hold them.
        title: what is measured, for the message of a failure.

    Returns:
        The MiB, or None where the operating system does not tell (it is read from ``/proc``).

    Raises:
        InputError: the process failed or was killed, which is what Linux does when memory runs out.
    """
    if not _STATUS.exists():
        return None
    command = [sys.executable, "-m", __name__, f"{work.__module__}:{work.__qualname__}"]
    done = subprocess.run(command, input=json.dumps(arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed; is there enough memory?"])[-1]
        raise InputError(f"the process that measures memory ({title}) failed: {reason}")
    return float(done.stdout.split()[-1])


def _own_peak_mib() -> float:
    """MiB of resident memory that this process has had at its peak, with the children that run still."""
    peaks = {}
    for status in (_STATUS, *Path("/proc").glob("[0-9]*/status")):
        try:
            lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:  # it has ended meanwhile
            continue
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if status == _STATUS or int(fields["PPid"]) == os.getpid():
            # Not ru_maxrss: that starts at the parent's.
            peaks[fields["Pid"]] = int(fields.get("VmHWM", "0").split()[0]) / 1024
    if not peaks:
        raise OSError(f"{_STATUS} cannot be read")
    return sum(peaks.values())


def _main() -> None:
    work = pkgutil.resolve_name(sys.argv[1])
    work(**json.load(sys.stdin))
    print(_own_peak_mib())


if __name__ == "__main__":
    _main()
