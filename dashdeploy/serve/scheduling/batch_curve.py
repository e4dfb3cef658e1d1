"""What a sample costs by the batch that it is in: measured when a model is loaded, obeyed when batches are formed.

Batches pay where a run has a fixed cost, and where an engine uses its processor better. They do not always: an
engine's kernels may fall out of a cache, or exist for single samples only. So the model is asked. A batch is formed
only if a sample costs no more in it than in any smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array, Runtime

RUN_OVERHEAD = 1e-4
"""Seconds that the server itself adds to a run: the way to the engine's thread and back; see `inline_execution`."""

TOLERANCE = 0.1
"""Share by which a cost may be above another for nothing but noise, of which a busy machine has as much."""

_BUDGET = 1.0
"""Seconds for all measurements of a model."""

_ROUNDS = 12

_FEWEST = 3
"""Sizes for which the time does not suffice are left out."""

_LARGEST_FEEDS = 64 * 1024 * 1024


@dataclass(frozen=True)
class BatchCurve:
    """Measured times of runs.

    Attributes:
        seconds: of a run, by its rows: 1, and larger ones in ascending order. Gathering the rows is part of it.
        complete: whether the model ran on every size that was tried; otherwise none above these is formed.
    """

    seconds: Mapping[int, float]
    complete: bool = True

    def milliseconds_per_sample(self) -> dict[int, float]:
        """The engine's time for a sample, by the rows of the batch."""
        return {rows: seconds / rows * 1e3 for rows, seconds in self.seconds.items()}

    def useful_sizes(self, max_rows: int) -> frozenset[int]:
        """The sizes from 1 to `max_rows` in which a sample costs no more than in any smaller batch.

        The server's own cost of a run is shared by the samples as well. Between two measured sizes a run's time is a
        straight line. Sizes above the largest that was measured, because time was short, are like that one.
        """
        known = min(max_rows, max(self.seconds))
        sizes = np.arange(1, known + 1)
        times = np.interp(sizes, list(self.seconds), list(self.seconds.values()))
        costs = (times + RUN_OVERHEAD) / sizes
        best_before = np.minimum.accumulate(costs)[:-1]
        useful = np.concatenate([[True], costs[1:] <= (1 + TOLERANCE) * best_before])
        beyond = range(known + 1, max_rows + 1) if useful[-1] and self.complete else ()
        return frozenset([*sizes[useful].tolist(), *beyond])


def measure_curve(
    runtime: Runtime, inputs: Sequence[TensorSpec], max_rows: int, *, also: Iterable[int] = ()
) -> BatchCurve | None:
    """Time 1, 2, 4, ... `max_rows` rows, in turns, and keep the shortest time of each.

    The shortest, because what disturbs a run only makes it longer. It takes about a second at most, or one run of a
    model that is slower than that; sizes for which the time does not suffice are left out.

    Args:
        runtime: the model, which ran already; its first axis is a batch axis.
        inputs: its inputs.
        max_rows: the most rows of a batch, from 1 up.
        also: further sizes to measure.

    Returns:
        The curve; None if the inputs have other dynamic axes, since the time depends on their lengths.
    """
    if any(isinstance(axis, str) for spec in inputs for axis in spec.shape[1:]):
        return None
    generator = np.random.default_rng(0)
    row = {spec.name: spec.random(1, generator) for spec in inputs}
    end = perf_counter() + _BUDGET
    first: dict[int, float] = {}
    complete = True
    for rows in _sizes(max_rows, also, sum(array.nbytes for array in row.values())):
        guess = first and {**first, rows: first[max(first)] * rows / max(first)}
        if guess and perf_counter() + guess[rows] + _FEWEST * _round_seconds(guess) > end:
            break
        try:
            first[rows] = _time(runtime, row, rows)
        except (
            Exception
        ):  # every engine raises classes of its own, where a batch is beyond what it was built for
            if rows == 1:
                return None
            complete = False
            break
    if len(first) == 1:
        return BatchCurve(first, complete)
    shortest: dict[int, float] = {}
    for _ in range(_ROUNDS):
        for rows in first:
            repeats = _repeats(rows, max(first))
            seconds = sum(_time(runtime, row, rows) for _ in range(repeats)) / repeats
            shortest[rows] = min(seconds, shortest.get(rows, seconds))
        if perf_counter() + _round_seconds(shortest) > end:
            break
    return BatchCurve(shortest, complete)


def _repeats(rows: int, largest: int) -> int:
    """How often a size is run in a row, so that all sizes take about as long.

    On a busy machine short runs escape what interrupts the long ones, and would seem to cost less.
    """
    return max(1, round(largest / rows))


def _round_seconds(seconds: Mapping[int, float]) -> float:
    return sum(each * _repeats(rows, max(seconds)) for rows, each in seconds.items())


def _sizes(max_rows: int, also: Iterable[int], row_bytes: int) -> list[int]:
    doubled = [1 << power for power in range(max_rows.bit_length())]
    wanted = {*doubled, *also, max_rows}
    return sorted(
        rows for rows in wanted if rows == 1 or (rows <= max_rows and rows * row_bytes <= _LARGEST_FEEDS)
    )


def _time(runtime: Runtime, row: Mapping[str, Array], rows: int) -> float:
    start = perf_counter()
    feeds = row if rows == 1 else {name: np.concatenate([array] * rows) for name, array in row.items()}
    runtime.run(feeds)
    return perf_counter() - start
