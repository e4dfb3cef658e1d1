"""What a step of the search costs, by the way AggConv is computed: figure 1 of the DASH paper.

Shen, Khodak, Talwalkar (NeurIPS 2022, arXiv 2204.07554), figure 1: the time of forward, backward and step against
the size c of the search space K = {3, 5, ..., 15}[:c], D = {1, 3, 7, ..., 127}[:c], at a length of 1000, and
against the length at c = 5. The supernets of all methods have the same weights and take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.search_cost.memory import peak_memory
from dashdeploy.bench.search_cost.problem import Problem
from dashdeploy.bench.search_cost.report import AutoRatio, MethodCost, PointCost, SearchCostReport
from dashdeploy.cli.options.values import check_seconds
from dashdeploy.errors import InputError
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.search.training.malloc_tuning import keep_freed_memory
from dashdeploy.timing import Seconds, interleaved, ratio_of

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNEL_SIZES = (3, 5, 7, 9, 11, 13, 15)
DILATIONS = (1, 3, 7, 15, 31, 63, 127)
LENGTH = 1000
"""Positions of the series while c varies."""

LENGTHS = (250, 500, 1000, 2000)
FIXED_C = 5
"""Size of the search space while the length varies."""

BATCH = 8
_ONCE_FROM_SECONDS = 8.0
_WARMUP_SECONDS = 1.0


def problems_of(line: str, values: Sequence[int]) -> list[Problem]:
    """Points of one line of the figure.

    Args:
        line: ``c`` or ``n``.
        values: sizes of the search space, or lengths.

    Raises:
        InputError: there is no such size.
    """
    if line == "c" and max(values) > len(KERNEL_SIZES):
        raise InputError(f"--sizes {max(values)}: sizes are 1 to {len(KERNEL_SIZES)}")
    if line == "c":
        return [_series("c", c, LENGTH, c) for c in values]
    return [_series("n", n, n, FIXED_C) for n in values]


def paper_problems(*, quick: bool = False, rank: int | None = None) -> list[Problem]:
    """The points of the figure, and the 2-D search space of the released code.

    Args:
        quick: fewer points of each line.
        rank: only series (1) or only images (2); None means both.
    """
    problems: list[Problem] = []
    if rank in (None, 1):
        problems += [_series("c", c, LENGTH, c) for c in ((1, 3, 5) if quick else range(1, 8))]
        problems += [_series("n", n, n, FIXED_C) for n in ((250, 1000) if quick else LENGTHS)]
    if rank in (None, 2):
        problems += [_images(separable=separable) for separable in (False, True)]
    return problems


def _series(line: str, x: int, length: int, c: int) -> Problem:
    return Problem(
        line=line,
        x=x,
        backbone="resnet1d",
        arguments={"in_channels": 1, "outputs": 10, "width": 16},
        input_shape=(1, length),
        batch=BATCH,
        kernel_sizes=KERNEL_SIZES[:c],
        dilations=DILATIONS[:c],
    )


def _images(*, separable: bool) -> Problem:
    return Problem(
        line="2-D, depthwise" if separable else "2-D, dense",
        x=4,
        backbone="wide_resnet",
        arguments={"in_channels": 3, "outputs": 10, "depth": 16, "widen": 1},
        input_shape=(3, 32, 32),
        batch=BATCH,
        kernel_sizes=(3, 5, 7, 9),
        dilations=(1, 3, 7, 15),
        separable=separable,
    )


@keep_freed_memory()
def measure_search_cost(
    problems: Sequence[Problem],
    *,
    methods: Sequence[str] = METHODS,
    threads: int | None = None,
    seconds: float = 4.0,
    min_rounds: int = 3,
    memory: bool = True,
    progress: Callable[[str], None] | None = None,
) -> SearchCostReport:
    """Time one training step of the supernet of every problem with every method.

    Args:
        problems: such as `paper_problems` gives.
        methods: of `METHODS`.
        threads: torch's threads; None leaves the choice to torch.
        seconds: how long to time each problem, all methods together; at least `min_rounds` rounds are run. A
            method whose first step took more than eight seconds is not run again: that step is its figure.
        min_rounds: see above.
        memory: whether to measure the peak memory, of the last problem of every line, each method in a process of
            its own.
        progress: told in one line what is being done.

    Raises:
        InputError: an argument is out of range, or a subprocess was killed.
    """
    _check(problems, methods, threads, seconds, min_rounds)
    say = progress or (lambda _line: None)
    last = {problem.line: problem for problem in problems}
    points = []
    with _torch_threads(threads) as used:
        for problem in problems:
            say(f"{problem.describe()}: timing {', '.join(methods)}")
            costs, ratios = _time(problem, methods, seconds, min_rounds, say)
            if memory and last[problem.line] == problem:
                say(f"{problem.describe()}: peak memory")
                costs = [
                    cost.model_copy(update={"peak_mib": peak_memory(problem, cost.method, used)})
                    for cost in costs
                ]
            points.append(
                PointCost(problem=problem, costs=tuple(costs), auto=ratios, choices=problem.choices())
            )
    return SearchCostReport(provenance=Provenance.now(), threads=used, seconds=seconds, points=tuple(points))


def _check(
    problems: Sequence[Problem],
    methods: Sequence[str],
    threads: int | None,
    seconds: float,
    min_rounds: int,
) -> None:
    if not problems:
        raise InputError("nothing to measure: no problem was given")
    for method in methods:
        if method not in METHODS:
            raise InputError(f"method {method}: no such method; choose from {', '.join(METHODS)}")
    if not methods or len(set(methods)) < len(methods):
        raise InputError(f"methods {', '.join(methods) or 'none'}: name at least one, and each once")
    if threads is not None and threads < 1:
        raise InputError(f"threads {threads}: use an integer from 1 up")
    check_seconds(seconds)
    if min_rounds < 1:
        raise InputError(f"rounds {min_rounds}: use an integer from 1 up")


def _time(
    problem: Problem,
    methods: Sequence[str],
    seconds: float,
    min_rounds: int,
    say: Callable[[str], None],
) -> tuple[list[MethodCost], AutoRatio | None]:
    times: dict[str, Seconds] = {}
    steps: dict[str, Callable[[], object]] = {}
    for method in methods:
        step = problem.step(method)
        started = perf_counter()
        step()
        first = perf_counter() - started
        if first > _ONCE_FROM_SECONDS:
            say(f"{problem.describe()}: {method} took {first:.1f} s and is not repeated")
            times[method] = np.array([first])
        else:
            steps[method] = step
    if steps:
        times |= interleaved(steps, seconds=seconds, min_rounds=min_rounds, warmup=_WARMUP_SECONDS)
    costs = [MethodCost.measured(method, times[method], times.get("mixed-results")) for method in methods]
    return costs, _auto_over_best(times)


def _auto_over_best(times: Mapping[str, Seconds]) -> AutoRatio | None:
    others = {method: float(np.median(series)) for method, series in times.items() if method != "auto"}
    if "auto" not in times or not others:
        return None
    best = min(others, key=lambda method: others[method])
    rounds = min(times["auto"].size, times[best].size)
    ratio = ratio_of(times["auto"][:rounds], times[best][:rounds])
    return AutoRatio(best=best, median=ratio.median, low=ratio.low, high=ratio.high)


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[int]:
    import torch

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
