"""The sections of a comparison of engines: bars per model, every figure as a table, and the notes."""

from __future__ import annotations

from dashdeploy.bench.engines.report import HEADERS, EnginesReport
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import Section, html_table, paragraph

_ORDER = ("backbone", "direct", "compiled")
"""The index of a variant is that of its color."""


def engines_sections(report: EnginesReport) -> list[Section]:
    """A section per model, with the ratios beside each other, and one with the engines themselves."""
    sections = [_model(number, label, report) for number, label in enumerate(report.models)]
    return [*sections, Section("engines", "Engines", [paragraph(line) for line in report.notes()])]


def _model(number: int, label: str, report: EnginesReport) -> Section:
    rows = [row for row in report.rows if row.model == label]
    latency = [
        Bar(
            label=f"{row.variant}, {row.engine}",
            value=row.p50_ms,
            high=row.p99_ms,
            note=f"{row.p50_ms:.3g} ms, p99 {row.p99_ms:.3g}",
            series=_ORDER.index(row.variant),
            strong=row.variant == "compiled",
        )
        for row in rows
    ]
    speedups = [
        Bar(label=each.engine, value=each.median, high=each.high, note=f"{each.median:.2f}", series=2)
        for each in report.ratios
        if (each.model, each.of) == (label, "direct / compiled")
    ]
    parts = [
        bar_chart("Direct / compiled in each engine", speedups, unit=""),
        bar_chart("Milliseconds per call, median and 99th percentile", latency, unit="ms"),
        html_table(HEADERS, [report.cells(row) for row in rows], caption="Every figure"),
    ]
    lead = f"Batch {report.batch}, {report.threads} thread(s), taking turns in one process."
    return Section(f"model-{number}", label, parts, lead)
