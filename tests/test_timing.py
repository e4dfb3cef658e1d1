"""Timing is tested for structure and arithmetic, never for speed."""

import gc
import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.timing import interleaved, percentiles, ratio_of


def test_every_round_calls_each_callable_once_in_rotating_order():
    calls: list[str] = []
    times = interleaved(
        {name: (lambda name=name: calls.append(name)) for name in "ABC"}, seconds=0, min_rounds=6, warmup=0
    )
    # One warm-up round, then six rounds: a rotation, then the same rotation backwards.
    assert "".join(calls) == "ABC" + "ABC" + "BCA" + "CAB" + "CBA" + "ACB" + "BAC"
    assert {name: len(values) for name, values in times.items()} == {"A": 6, "B": 6, "C": 6}


def test_times_are_seconds_of_each_call():
    times = interleaved({"sleep": lambda: time.sleep(0.01)}, seconds=0, min_rounds=3, warmup=0)["sleep"]
    assert times.dtype == np.float64
    assert (times >= 0.01).all()
    assert (times < 1.0).all()


def test_goes_on_for_the_seconds_asked():
    start = time.perf_counter()
    times = interleaved({"A": lambda: None, "B": lambda: None}, seconds=0.1, min_rounds=1, warmup=0)
    assert time.perf_counter() - start >= 0.1
    assert len(times["A"]) == len(times["B"]) > 1


def test_warm_up_ends_at_its_limit_though_times_never_settle(monkeypatch):
    """On a clock of its own, which only the calls move: how busy the machine is plays no part."""
    now = 0.0
    calls = 0

    def ever_slower():
        nonlocal now, calls
        calls += 1
        now += 0.5e6 * 1.2**calls

    monkeypatch.setattr("dashdeploy.timing.perf_counter_ns", lambda: round(now))
    interleaved({"A": ever_slower}, seconds=0, min_rounds=1, warmup=0.05)
    # 16 calls take 52 ms together, 15 take 43; one more is the round that is measured.
    assert calls == 17


def test_garbage_collector_is_off_inside_and_restored_after_an_error():
    seen = []

    def fails():
        seen.append(gc.isenabled())
        raise RuntimeError("engine")

    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="engine"):
        interleaved({"A": fails}, seconds=0, min_rounds=1, warmup=0)
    assert seen == [False]
    assert gc.isenabled()


def test_percentiles_are_exact():
    samples = np.arange(101, dtype=np.float64)
    assert percentiles(samples) == (50.0, 90.0, 99.0)
    assert percentiles(np.array([1.0, 2.0]), at=(0, 25, 100)) == (1.0, 1.25, 2.0)
    with pytest.raises(ValueError, match="no samples"):
        percentiles(np.array([]))


def test_ratio_is_the_median_of_ratios_within_rounds():
    # The machine is three times slower in every other round; the ratio within a round is 2 all the same.
    drift = np.where(np.arange(50) % 2, 3.0, 1.0)
    estimate = ratio_of(2.0 * drift, drift)
    assert (estimate.median, estimate.low, estimate.high) == (2.0, 2.0, 2.0)


def test_interval_takes_the_ranks_of_the_source():
    ratios = np.arange(1, 101, dtype=np.float64)
    estimate = ratio_of(ratios, np.ones(100))
    # n = 100: ranks floor(50 - 9.8) = 40 and ceil(51 + 9.8) = 61.
    assert (estimate.median, estimate.low, estimate.high) == (50.5, 40.0, 61.0)


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=200), st.floats(0.1, 10))
def test_interval_contains_the_median_and_scales(times, factor):
    b = np.array(times)
    estimate = ratio_of(b[::-1].copy(), b)
    assert estimate.low <= estimate.median <= estimate.high
    scaled = ratio_of(b[::-1] * factor, b)
    assert scaled.median == pytest.approx(estimate.median * factor)


def test_refuses_nonsense():
    with pytest.raises(ValueError, match="nothing to time"):
        interleaved({})
    with pytest.raises(ValueError, match="min_rounds"):
        interleaved({"A": lambda: None}, min_rounds=0)
    with pytest.raises(ValueError, match="not 2 and 3"):
        ratio_of(np.ones(2), np.ones(3))


def test_percentile_intervals_hold_the_percentile():
    from dashdeploy.timing import percentile_intervals

    times = np.random.default_rng(0).lognormal(size=1000)
    (low, high), (low99, high99) = percentile_intervals(times, (50, 99))
    assert low < np.percentile(times, 50) < high
    assert high - low < high99 - low99
    # The median's interval by order statistics is another way to the same; they agree roughly.
    ranks = np.sort(times)[[468, 531]]
    assert (low, high) == pytest.approx(ranks, rel=0.05)
    with pytest.raises(ValueError, match="no samples"):
        percentile_intervals(np.array([]))


def test_settled_calls_follow_untimed_ones_of_the_same():
    said = []
    callables = {name: (lambda name=name: said.append(name)) for name in "abc"}
    times = interleaved(callables, seconds=0, min_rounds=2, warmup=0, settle=True)
    assert all(series.size == 2 for series in times.values())
    runs = [
        (name, len(list(calls))) for name, calls in itertools.groupby(said[3:])
    ]  # after the warm-up's round
    assert [name for name, _ in runs] == ["a", "b", "c", "b", "c", "a"]
    assert all(count >= 2 for _, count in runs)
