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
from dashdeploy.bench.common.checks import check_count, check_seconds
from dashdeploy.bench.common.device import check_device, clock_of, describe_device
from dashdeploy.bench.search_cost.problem import Problem, gpu_peak_mib, peak_mib
from dashdeploy.bench.search_cost.report import AutoRatio, MethodCost, PointCost, SearchCostReport
from dashdeploy.errors import InputError
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.ops.aggconv.rates import Rates, rates_as_json
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.torch.device import tf32
from dashdeploy.search.training.malloc_tuning import keep_freed_memory
from dashdeploy.timing import Seconds, interleaved, ratio_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashdeploy.ops.aggconv.cost import Choice

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
_MOST_CHOICE_SECONDS = 2.0


def series_problems(*, sizes: Sequence[int] = (), lengths: Sequence[int] = ()) -> list[Problem]:
    """Points of the figure's two lines.

    Args:
        sizes: sizes c of the search space, at a length of `LENGTH`.
        lengths: lengths of the series, at c = `FIXED_C`.

    Raises:
        InputError: the size is unknown.
    """
    if max(sizes, default=0) > len(KERNEL_SIZES):
        raise InputError(f"`sizes={max(sizes)}`: sizes are 1 to {len(KERNEL_SIZES)}")
    return [_series("c", c, LENGTH, c) for c in sizes] + [_series("n", n, n, FIXED_C) for n in lengths]


def paper_problems(*, quick: bool = False, rank: int | None = None) -> list[Problem]:
    """The points of the figure, and the 2-D search space of the released code.

    Args:
        quick: fewer points of each line.
        rank: only series (1) or only images (2); None means both.
    """
    problems: list[Problem] = []
    if rank in (None, 1):
        problems += series_problems(
            sizes=(1, 3, 5) if quick else range(1, 8), lengths=(250, 1000) if quick else LENGTHS
        )
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
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 4.0,
    min_rounds: int = 3,
    memory: bool = True,
    rates: Rates | None = None,
    progress: Progress = silent,
) -> SearchCostReport:
    """Time one training step of the supernet of every problem with every method.

    Args:
        problems: such as `paper_problems` gives.
        methods: of `METHODS`.
        device: ``cpu`` or ``cuda``: this machine's first GPU, in float32 without TF32, timed by events in its
            stream; ``auto`` goes by what is measured of it first, as in a search.
        threads: torch's threads; None leaves the choice to torch.
        seconds: how long to time each problem, all methods together; at least `min_rounds` rounds are run. A
            method whose first step took more than eight seconds is not run again: that step is its figure.
        min_rounds: see above.
        memory: whether to measure the peak memory, of the last problem of every line, each method in a process of
            its own.
        rates: what ``auto`` goes by; None measures a GPU's, and takes the CPU's table.
        progress: told in one line what is being done.

    Raises:
        InputError: an argument is out of range, or a subprocess was killed.
        MissingCapabilityError: the device does not exist.
    """
    _check(problems, methods, threads, seconds, min_rounds)
    check_device(device)
    last = {problem.line: problem for problem in problems}
    points = []
    with _torch_threads(threads) as used, tf32(allowed=False):
        rates = rates or _rates(device, progress)
        for problem in problems:
            progress(f"{problem.describe()}: timing {', '.join(methods)}")
            timed = None
            if device == "cuda" and rates is not None and "auto" in methods:
                timed = problem.timed(device, rates, min(_MOST_CHOICE_SECONDS, seconds))
            costs, ratios = _time(problem, methods, device, rates, timed, seconds, min_rounds, progress)
            if memory and last[problem.line] == problem:
                progress(f"{problem.describe()}: peak memory")
                costs = [
                    cost.model_copy(
                        update={"peak_mib": _peak_mib(problem, cost.method, device, rates, timed, used)}
                    )
                    for cost in costs
                ]
            points.append(
                PointCost(
                    problem=problem, costs=tuple(costs), auto=ratios, choices=problem.choices(rates, timed)
                )
            )
    return SearchCostReport(
        provenance=Provenance.now(),
        device=describe_device(device),
        rates=None if rates is None else rates_as_json(rates),
        threads=used,
        seconds=seconds,
        points=tuple(points),
    )


def _rates(device: str, progress: Progress) -> Rates | None:
    """What ``auto`` goes by: None is the CPU's table."""
    if device == "cpu":
        return None
    import torch

    from dashdeploy.ops.aggconv.device_rates import measured_rates

    progress("measuring the rates of the GPU")
    return measured_rates(torch.device(device))


def _peak_mib(
    problem: Problem,
    method: str,
    device: str,
    rates: Rates | None,
    timed: Mapping[str, Choice] | None,
    threads: int,
) -> float | None:
    if device == "cpu":
        return peak_mib(problem, method, threads)
    return gpu_peak_mib(problem, method, rates, timed)


def _check(
    problems: Sequence[Problem],
    methods: Sequence[str],
    threads: int | None,
    seconds: float,
    min_rounds: int,
) -> None:
    if not problems:
        raise InputError("nothing to measure; name at least one size or length")
    for method in methods:
        if method not in METHODS:
            raise InputError(f"method {method}: no such method; choose from {', '.join(METHODS)}")
    if not methods or len(set(methods)) < len(methods):
        raise InputError(f"methods {', '.join(methods) or 'none'}: name at least one, and each once")
    if threads is not None:
        check_count("threads", threads)
    check_seconds(seconds)
    check_count("min_rounds", min_rounds)


def _time(
    problem: Problem,
    methods: Sequence[str],
    device: str,
    rates: Rates | None,
    timed: Mapping[str, Choice] | None,
    seconds: float,
    min_rounds: int,
    progress: Progress,
) -> tuple[list[MethodCost], AutoRatio | None]:
    from torch import OutOfMemoryError

    times: dict[str, Seconds] = {}
    steps: dict[str, Callable[[], object]] = {}
    clock = clock_of(device)
    for method in methods:
        step = problem.step(method, device, rates, timed)
        started = perf_counter()
        try:
            nanoseconds = None if clock is None else clock(step)
            if nanoseconds is None:
                step()
        except OutOfMemoryError:
            progress(f"{problem.describe()}: {method} needs more memory than the GPU has, and is left out")
            continue
        first = perf_counter() - started if nanoseconds is None else 1e-9 * nanoseconds
        if first > _ONCE_FROM_SECONDS:
            progress(f"{problem.describe()}: {method} took {first:.1f} s and is not repeated")
            times[method] = np.array([first])
        else:
            steps[method] = step
    if steps:
        times |= interleaved(
            steps, seconds=seconds, min_rounds=min_rounds, warmup=_WARMUP_SECONDS, clock=clock
        )
    costs = [
        MethodCost.measured(method, times[method], times.get("mixed-results"))
        for method in methods
        if method in times
    ]
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
