"""The peak memory of a step of the search, in a process of its own; also what that process runs."""

from __future__ import annotations

import sys

from dashdeploy.bench.common.peak_memory import own_peak_mib, peak_of_module
from dashdeploy.bench.search_cost.problem import Problem
from dashdeploy.search.training.malloc_tuning import keep_freed_memory

_STEPS = 2


def peak_memory(problem: Problem, method: str, threads: int) -> float | None:
    """MiB at the peak of a process that runs two steps, what Python and torch take included; see `peak_of_module`."""
    return peak_of_module(
        "dashdeploy.bench.search_cost.memory", [method, str(threads)], stdin=problem.model_dump_json()
    )


def _main() -> None:
    import torch

    method, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    step = Problem.model_validate_json(sys.stdin.read()).step(method)
    with keep_freed_memory():
        for _ in range(_STEPS):
            step()
    print(own_peak_mib())


if __name__ == "__main__":
    _main()
