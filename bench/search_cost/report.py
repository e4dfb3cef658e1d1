"""The result of `bench search-cost`: as JSON for machines, as tables for people."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.common.result import BenchResult
from dashdeploy.bench.search_cost.problem import Problem
from dashdeploy.report.text_table import table
from dashdeploy.timing import Seconds, ratio_of

AUTO_TOLERANCE = 1.1
"""How much slower than the best method ``auto`` may be before the report says so."""


class MethodCost(FrozenModel):
    """One method at one point.

    Attributes:
        method: how AggConv was computed.
        calls: steps that were timed.
        p50_ms: median milliseconds of a step.
        low_ms: the quickest step.
        high_ms: the slowest step.
        over_mixed_results: median over the rounds of this method's time over that of mixed-results; None if that
            was not measured.
        peak_mib: peak resident memory of a process that runs this method alone; None if it was not measured.
    """

    method: str
    calls: int
    p50_ms: float
    low_ms: float
    high_ms: float
    over_mixed_results: float | None = None
    peak_mib: float | None = None

    @classmethod
    def measured(cls, method: str, times: Seconds, mixed_results: Seconds | None) -> Self:
        """The cost with the seconds `times`, beside those of mixed-results in the same rounds."""
        over = None
        if mixed_results is not None:
            rounds = min(times.size, mixed_results.size)
            over = ratio_of(times[:rounds], mixed_results[:rounds]).median
        low, median, high = (1e3 * float(np.quantile(times, q)) for q in (0, 0.5, 1))
        return cls(
            method=method,
            calls=times.size,
            p50_ms=median,
            low_ms=low,
            high_ms=high,
            over_mixed_results=over,
        )


class AutoRatio(FrozenModel):
    """``auto`` beside the quickest of the other methods.

    Attributes:
        best: that method.
        median: median over the rounds of auto's time over its time.
        low: lower end of the 95 % interval of the median.
        high: upper end.
    """

    best: str
    median: float
    low: float
    high: float


class PointCost(FrozenModel):
    """All methods at one point.

    Attributes:
        problem: the point.
        costs: one per method.
        auto: ``auto`` beside the best of the others; None if it was not measured.
        choices: how many layers ``auto`` computes in which way.
    """

    problem: Problem
    costs: tuple[MethodCost, ...]
    auto: AutoRatio | None
    choices: dict[str, int]

    def cost(self, method: str) -> MethodCost | None:
        """The cost of `method`, if it was measured."""
        return next((cost for cost in self.costs if cost.method == method), None)


class SearchCostReport(BenchResult):
    """The whole measurement.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        device: the GPU, its driver and libraries; None is the CPU.
        rates: what ``auto`` went by on a GPU; see `dashdeploy.ops.aggconv.rates`.
        threads: torch's threads.
        seconds: how long each point was timed, all methods together.
        points: in the order of the lines.
    """

    kind: Literal["search-cost"] = "search-cost"
    format_version: Literal[1] = 1
    device: str | None = None
    rates: dict[str, float] | None = None
    threads: int
    seconds: float
    points: tuple[PointCost, ...]

    @property
    def where(self) -> str:
        """What it was measured on, in a few words."""
        return f"{self.threads} thread(s)" if self.device is None else self.device

    @property
    def methods(self) -> list[str]:
        """The methods that were measured, in order."""
        return list(dict.fromkeys(cost.method for point in self.points for cost in point.costs))

    @property
    def lines(self) -> dict[str, list[PointCost]]:
        """The points by their line."""
        lines: dict[str, list[PointCost]] = {}
        for point in self.points:
            lines.setdefault(point.problem.line, []).append(point)
        return lines

    def text(self) -> str:
        """The report for a person."""
        parts = [
            table(["ms per step", *self.methods, "auto / mixed-results", "auto / best"], self._time_rows()),
            self._memory_table(),
            self.verdict(),
            f"{self.where}, {self.machine_and_date}",
        ]
        return "\n\n".join(part for part in parts if part)

    def verdict(self) -> str:
        """One line on whether ``auto`` keeps up with the best method everywhere."""
        measured = [(point.auto, point) for point in self.points if point.auto is not None]
        if not measured:
            return ""
        ratio, point = max(measured, key=lambda pair: pair[0].median)
        where = f"{label(point.problem)}, {ratio.median:.2f} times {ratio.best}"
        if ratio.median > AUTO_TOLERANCE:
            return f"auto is more than 10 % slower than the best method at {where}"
        return f"auto is nowhere more than 10 % slower than the best method; worst: {where}"

    def _time_rows(self) -> list[list[object]]:
        rows: list[list[object]] = []
        for point in self.points:
            costs = [point.cost(method) for method in self.methods]
            auto = point.cost("auto")
            over = None if auto is None or auto.over_mixed_results is None else auto.over_mixed_results
            rows.append(
                [
                    label(point.problem),
                    *(None if cost is None else f"{cost.p50_ms:.1f}" for cost in costs),
                    None if over is None else f"{over:.3f}",
                    None if point.auto is None else f"{point.auto.median:.2f} ({point.auto.best})",
                ]
            )
        return rows

    def _memory_table(self) -> str:
        rows: list[list[object]] = []
        for point in self.points:
            peaks = [cost.peak_mib for cost in point.costs]
            if any(peak is not None for peak in peaks):
                rows.append([label(point.problem), *(None if p is None else f"{p:.0f}" for p in peaks)])
        return table(["peak MiB", *self.methods], rows) if rows else ""


def label(problem: Problem) -> str:
    """A point of the figure, such as ``c = 3``."""
    return f"{problem.line} = {problem.x}" if problem.line in ("c", "n") else problem.line
