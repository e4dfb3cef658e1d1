"""Any result of the bench commands as a report for people."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dashdeploy.bench.accuracy.report import AccuracyReport
from dashdeploy.bench.common.comparison import Result
from dashdeploy.bench.latency.page import latency_section, profile_sections
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.layers.page import layers_details, layers_sections
from dashdeploy.bench.layers.report import LayersReport
from dashdeploy.bench.loadgen.measure import LoadGenReport
from dashdeploy.bench.search_cost.report import PointCost, SearchCostReport, label
from dashdeploy.bench.serve.page import serve_sections
from dashdeploy.bench.serve.report import ServeReport
from dashdeploy.report.charts import Bar, Line, bar_chart, line_chart
from dashdeploy.report.page import Page, Section, html_table, origin_rows, paragraph, provenance_section


def result_page(result: Result) -> Page:
    """The page of a result, with what it was measured on and by."""
    made = result.provenance
    title, sections = _content(result)
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return Page(
        title=title,
        subtitle=f"{made.machine}, {made.date}",
        sections=[*sections, provenance_section(origin_rows(made) | {"versions": versions})],
        layers=layers_details(result) if isinstance(result, LayersReport) else {},
    )


def _content(result: Result) -> tuple[str, list[Section]]:
    if isinstance(result, LatencyReport):
        labels = ", ".join(each.label for each in result.bundles)
        return f"Latency of {labels}", [latency_section(result), *profile_sections(result)]
    if isinstance(result, LayersReport):
        return "Single convolutions, direct and chosen", layers_sections(result)
    if isinstance(result, SearchCostReport):
        return "What a step of the search costs", [_search_cost(result)]
    if isinstance(result, LoadGenReport):
        return f"MLPerf LoadGen, {result.scenario}", [_loadgen(result)]
    if isinstance(result, ServeReport):
        return "What serving costs", serve_sections(result)
    return "Accuracy of DASH and of its backbone", [_accuracy(result)]


def _search_cost(result: SearchCostReport) -> Section:
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
    return Section(
        "search-cost", "Time per step", parts, f"Forward, backward and update; {result.threads} thread(s)."
    )


def _curve(points: Sequence[PointCost], method: str) -> list[tuple[float, float]]:
    known = [(point.problem.x, point.cost(method)) for point in points]
    return [(float(x), cost.p50_ms) for x, cost in known if cost is not None]


def _loadgen(result: LoadGenReport) -> Section:
    bars = [Bar(f"{at:g} %", value, note=f"{value:.3g} ms") for at, value in result.percentiles().items()]
    told = [[name, f"{value:g}"] for name, value in result.settings.items()]
    return Section(
        "loadgen",
        "VALID" if result.valid else "INVALID",
        [
            paragraph("" if result.valid else result.why()),
            bar_chart(
                "Milliseconds that so many queries were answered within", bars, unit="ms", label_width=80
            ),
            html_table(["figure", "value"], result.rows(), caption="LoadGen's own summary"),
            html_table(["setting", "value"], told, caption="What it was told"),
        ],
        f"{result.bundle}, answered by {result.answered_by}",
    )


def _accuracy(result: AccuracyReport) -> Section:
    bars = [
        Bar(f"{task}, {name}", value, note=f"{value:.4f}", series=series, strong=series == 0)
        for task, results in result.by_task().items()
        for series, (name, value) in enumerate(
            {
                "DASH": sum(each.searched for each in results) / len(results),
                "backbone": sum(each.backbone for each in results) / len(results),
            }.items()
        )
    ]
    seeds = [
        [each.task, each.seed, each.searched, each.backbone, each.searched_validation, f"{each.seconds:.0f}"]
        for each in result.results
    ]
    headers = ["task", "seed", "DASH, test", "backbone, test", "DASH, validation", "seconds"]
    failures = [paragraph(f"{each.task}, seed {each.seed} failed: {each.reason}") for each in result.failures]
    return Section(
        "accuracy",
        "Test figures",
        [
            bar_chart("Mean over seeds", bars, unit=""),
            html_table(list(result.HEADERS), result.rows(), caption="Per task"),
            html_table(headers, seeds, caption="Every run"),
            *failures,
        ],
        "Both networks had the same budget; each seed looked at the test data once.",
    )
