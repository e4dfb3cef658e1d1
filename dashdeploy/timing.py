"""Honest timing of alternatives: interleaved rounds, percentiles, ratios with a confidence interval.

Two programs timed one after the other are compared across whatever the machine did in between: another
process, a change of clock rate, a cold cache. Here the alternatives take turns, A B C, B C A, C A B, ...,
so that a disturbance meets all of them, and two alternatives are compared by the ratio *within* a round.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]

Clock = Callable[[Callable[[], object]], int]
"""Calls a function and gives the nanoseconds that it took."""

_STABLE_WINDOW = 5
_STABLE_WITHIN = 0.03
_MOST_RESAMPLED = 2000
_SETTLE_NS = 1_000_000


@dataclass(frozen=True)
class RatioEstimate:
    """A ratio of two times: the median over rounds with its 95 % confidence interval.

    Attributes:
        median: the median of the per-round ratios.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    median: float
    low: float
    high: float


def interleaved(
    callables: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 1.0,
    min_rounds: int = 10,
    warmup: float = 0.5,
    settle: bool = False,
    clock: Clock | None = None,
) -> dict[str, Seconds]:
    """Time every callable once per round, round after round, in an order that rotates.

    The order starts one callable further in every round and is reversed after every full turn, so neither
    the place in the round nor the predecessor favors anyone. The garbage collector is off meanwhile.
    Nothing is discarded after the warm-up: outliers belong in the percentiles.

    Args:
        callables: what to time, by name; each is called without arguments and its result is dropped.
        seconds: how long to go on, all callables together and without the warm-up.
        min_rounds: rounds that are run even if they take longer than `seconds`.
        warmup: the most seconds to spend on warming up, all callables together. The warm-up runs at least one
            round and ends early once each callable's median of five rounds is within 3 % of the five before.
        settle: whether each timed call comes right after a millisecond of untimed ones of the same, so that what the
            predecessor left in the caches and in its thread pool tells on nobody. It matters where alternatives
            are unlike, such as engines: a model of 0.08 ms took twice as long behind another engine's.
        clock: times a call; None is `perf_counter_ns`, which knows nothing of work that a device does later.

    Returns:
        Per name, the seconds of each call: arrays of one common length, in which entry i is round i.

    Raises:
        ValueError: there is nothing to time, or `min_rounds` is below 1.
    """
    if not callables:
        raise ValueError("interleaved: there is nothing to time")
    if min_rounds < 1:
        raise ValueError(f"interleaved: min_rounds is {min_rounds}; use at least 1")
    names, clock = list(callables), clock or wall_clock
    with _garbage_collector_off():
        _warm_up(callables, names, clock, limit=warmup)
        rounds: dict[str, list[int]] = {name: [] for name in names}
        deadline = perf_counter_ns() + round(seconds * 1e9)
        done = 0
        while done < min_rounds or perf_counter_ns() < deadline:
            _time_round(callables, _order(names, done), rounds, clock, settle=settle)
            done += 1
    return {name: np.asarray(nanoseconds, dtype=np.float64) * 1e-9 for name, nanoseconds in rounds.items()}


def percentiles(seconds: Seconds, at: Sequence[float] = (50, 90, 99)) -> tuple[float, ...]:
    """The percentiles `at` of `seconds`, in the same unit, interpolated linearly between samples.

    Raises:
        ValueError: there are no samples.
    """
    if seconds.size == 0:
        raise ValueError("percentiles: there are no samples")
    return tuple(float(value) for value in np.percentile(seconds, at))


def percentile_intervals(
    seconds: Seconds, at: Sequence[float] = (50, 90, 99), *, draws: int = 300, seed: int = 0
) -> list[tuple[float, float]]:
    """The 95 % confidence intervals of the percentiles `at`, by bootstrap (Efron 1979, percentile method).

    It takes the calls as independent; see `ratio_of` for what that means.

    Args:
        seconds: the samples; of more than 2000, every so many-th is used, which makes the intervals wider.
        at: the percentiles.
        draws: resamples.
        seed: of the resampling.

    Raises:
        ValueError: there are no samples.
    """
    if seconds.size == 0:
        raise ValueError("percentile_intervals: there are no samples")
    sample = seconds[:: -(-seconds.size // _MOST_RESAMPLED)]
    chosen = np.random.default_rng(seed).integers(0, sample.size, (draws, sample.size))
    estimates = np.percentile(sample[chosen], at, axis=1)
    low, high = np.percentile(estimates, (2.5, 97.5), axis=1)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def ratio_of(a: Seconds, b: Seconds) -> RatioEstimate:
    """How many times as long `a` takes as `b`: the median of the per-round ratios a[i] / b[i].

    The speed-up of a compiled model over the direct one is ``ratio_of(direct, compiled)``.

    The interval is the distribution-free one from order statistics (Conover, Practical Nonparametric
    Statistics, 1980, section 3.2): ranks n/2 -+ 1.96 sqrt(n)/2. It takes the rounds as independent, so a
    machine whose speed drifts within seconds makes it too narrow; below six rounds it is the whole range.

    Args:
        a: seconds per round, as `interleaved` returns them.
        b: seconds of the same rounds.

    Raises:
        ValueError: the arrays are empty or differ in length.
    """
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"ratio_of: needs the same rounds of both, not {a.size} and {b.size}")
    ratios = np.sort(a / b)
    n = ratios.size
    half_width = 1.96 * math.sqrt(n) / 2
    low_rank = max(1, math.floor(n / 2 - half_width))
    high_rank = min(n, math.ceil(1 + n / 2 + half_width))
    return RatioEstimate(float(np.median(ratios)), float(ratios[low_rank - 1]), float(ratios[high_rank - 1]))


def _order(names: Sequence[str], round_index: int) -> list[str]:
    turn, start = divmod(round_index, len(names))
    order = [*names[start:], *names[:start]]
    return order[::-1] if turn % 2 else order


def _time_round(
    callables: Mapping[str, Callable[[], object]],
    order: Sequence[str],
    into: Mapping[str, list[int]],
    clock: Clock,
    *,
    settle: bool = False,
) -> None:
    for name in order:
        function = callables[name]
        if settle:
            _settle(function)
        into[name].append(clock(function))


def wall_clock(function: Callable[[], object]) -> int:
    """The nanoseconds that a call takes; a `Clock`."""
    start = perf_counter_ns()
    function()
    return perf_counter_ns() - start


def thread_clock(function: Callable[[], object]) -> int:
    """The nanoseconds that the calling thread had a processor for: what others do meanwhile counts little.

    A `Clock` for what one thread does on a machine that is not idle.
    """
    start = thread_time_ns()
    function()
    return thread_time_ns() - start


def _settle(function: Callable[[], object]) -> None:
    """Call for a millisecond, at least once: a quick function needs several calls to find its caches filled."""
    deadline = perf_counter_ns() + _SETTLE_NS
    function()
    while perf_counter_ns() < deadline:
        function()


def _warm_up(
    callables: Mapping[str, Callable[[], object]], names: Sequence[str], clock: Clock, *, limit: float
) -> None:
    rounds: dict[str, list[int]] = {name: [] for name in names}
    deadline = perf_counter_ns() + round(limit * 1e9)
    done = 0
    while True:
        _time_round(callables, _order(names, done), rounds, clock)
        done += 1
        if perf_counter_ns() >= deadline or all(_is_stable(times) for times in rounds.values()):
            return


def _is_stable(times: Sequence[int]) -> bool:
    if len(times) < 2 * _STABLE_WINDOW:
        return False
    before = float(np.median(times[-2 * _STABLE_WINDOW : -_STABLE_WINDOW]))
    now = float(np.median(times[-_STABLE_WINDOW:]))
    return abs(now - before) <= _STABLE_WITHIN * before


@contextmanager
def _garbage_collector_off() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
