"""What a step of the search costs on the device, for c = 1 to 7; see `dashdeploy.bench.search_cost`."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import torch

from dashdeploy.bench.gpu_check.report import Figure, Row
from dashdeploy.bench.search_cost.measure import measure_search_cost, series_problems
from dashdeploy.bench.search_cost.problem import Problem
from dashdeploy.errors import first_line
from dashdeploy.ops.aggconv.device_rates import measured_rates
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.ops.aggconv.rates import Rates
from dashdeploy.runtimes.torch.device import event_nanoseconds, tf32

SIZES = range(1, 8)
_BATCHES = (8, 64)
_GRAPH_STEPS = 5
_SMALLEST = {"in_channels": 1, "outputs": 10, "width": 4}


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for every size c and batch.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether c = 1 of a narrow network will do.
        seconds: shared by the points; what is left when it is over is said.
    """
    problems = [
        problem.model_copy(update={"batch": batch})
        for batch in ((2,) if quick else _BATCHES)
        for problem in series_problems(sizes=[1] if quick else SIZES)
    ]
    if quick:
        problems = [
            each.model_copy(update={"arguments": _SMALLEST, "input_shape": (1, 100)}) for each in problems
        ]
    end = monotonic() + seconds
    rates = measured_rates(torch.device(device)) if device == "cuda" else None
    for position, problem in enumerate(problems):
        what = f"c = {problem.x}, batch {problem.batch}, length {problem.input_shape[1]}"
        left = end - monotonic()
        if left <= 0:
            yield Row(what=what, reason="left out: the section's time is over")
            continue
        share = 0.3 * left / (len(problems) - position)
        report = measure_search_cost(
            [problem],
            methods=METHODS,
            device=device,
            seconds=min(share, 0.1 if quick else 3.0),
            min_rounds=2,
            memory=device == "cuda",
            rates=rates,
        )
        (point,) = report.points
        figures: dict[str, Figure] = {f"{cost.method}, ms": cost.p50_ms for cost in point.costs}
        auto = point.cost("auto")
        figures["auto / mixed-results"] = None if auto is None else auto.over_mixed_results
        figures["auto / best"] = None if point.auto is None else point.auto.median
        figures["auto computes"] = ", ".join(f"{count} {name}" for name, count in point.choices.items())
        figures["peak MiB of auto"] = None if auto is None else auto.peak_mib
        reason = None
        if device == "cuda":
            figures["auto as a CUDA graph, ms"], reason = _graph_ms(problem, rates)
        yield Row(what=what, figures=figures, reason=reason)


def _graph_ms(problem: Problem, rates: Rates | None) -> tuple[float | None, str | None]:
    """Median milliseconds of a step that is launched all at once, or why there are none."""
    try:
        with tf32(allowed=False):
            launch = problem.graph("auto", rates)
            times = [event_nanoseconds(launch) for _ in range(_GRAPH_STEPS)]
    except RuntimeError as error:  # torch's only class for whatever a GPU cannot do
        return None, f"no CUDA graph: {first_line(error)}"
    return 1e-6 * sorted(times)[_GRAPH_STEPS // 2], None
