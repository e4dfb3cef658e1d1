"""The peak memory of one step of the search, in a process of its own; also what that process runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dashdeploy.bench.search_cost_problem import Problem
from dashdeploy.errors import InputError

_STEPS = 2


def peak_memory(problem: Problem, method: str, threads: int) -> float | None:
    """MiB of resident memory at the peak of a process that runs two steps, what Python and torch take included.

    None where the operating system does not tell (it is read from ``/proc``).

    Raises:
        InputError: the process was killed, which is what Linux does when memory runs out.
    """
    if not Path("/proc/self/status").exists():
        return None
    command = [sys.executable, "-m", "dashdeploy.bench.search_cost_memory", method, str(threads)]
    done = subprocess.run(
        command, input=problem.model_dump_json(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed; is there enough memory?"])[-1]
        raise InputError(f"{problem.describe()}, {method}: the process that measures memory failed: {reason}")
    return float(done.stdout)


def _peak_mib() -> float:
    # Not ru_maxrss: that starts at the parent's.
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")


def _main() -> None:
    import torch

    method, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    step = Problem.model_validate_json(sys.stdin.read()).step(method)
    for _ in range(_STEPS):
        step()
    print(_peak_mib())


if __name__ == "__main__":
    _main()
