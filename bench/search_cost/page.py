"""The section of a search-cost result: the time of a step by method, along each line of the figure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dashdeploy.bench.search_cost.report import PointCost, SearchCostReport, label
from dashdeploy.report.charts import Bar, Line, bar_chart, line_chart
from dashdeploy.report.page import Section, html_table, paragraph


def search_cost_section(result: SearchCostReport) -> Section:
    """Curves over the size and the length, bars of the single points, and every figure."""
    parts: list[Markup] = [paragraph(result.verdict())]
    for line, points in result.lines.items():
        if line in ("c", "n"):
            x_label = "size c of K and of D" if line == "c" else "length of the series"
            lines = [Line(method, _curve(points, method)) for method in result.methods]
            parts.append(
                line_chart(
                    f"Milliseconds per step over {x_label}",
                    lines,
                    x_label=x_label,
                    y_label="ms per step",
                    logarithmic=True,
                )
            )
        else:
            costs = [cost for point in points for cost in point.costs]
            bars = [Bar(cost.method, cost.p50_ms, series=i) for i, cost in enumerate(costs)]
            parts.append(bar_chart(f"{line}: milliseconds per step", bars, unit="ms", label_width=130))
    rows = [
        [
            label(point.problem),
            cost.method,
            f"{cost.p50_ms:.1f}",
            cost.calls,
            None if cost.over_mixed_results is None else f"{cost.over_mixed_results:.3f}",
            None if cost.peak_mib is None else f"{cost.peak_mib:.0f}",
        ]
        for point in result.points
        for cost in point.costs
    ]
    headers = ["point", "method", "ms per step", "steps", "over mixed-results", "peak MiB"]
    parts.append(html_table(headers, rows, caption="Every figure"))
    return Section("search-cost", "Time per step", parts, f"Forward, backward and update; {result.where}.")


def _curve(points: Sequence[PointCost], method: str) -> list[tuple[float, float]]:
    known = [(point.problem.x, point.cost(method)) for point in points]
    return [(float(x), cost.p50_ms) for x, cost in known if cost is not None]
