"""The sections of a serve result: what one request costs, and how many a second are answered."""

from __future__ import annotations

from dashdeploy.bench.serve.report import OVERHEAD_HEADERS, THROUGHPUT_HEADERS, ServeReport, two_decimals
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import Section, html_table, paragraph


def serve_sections(report: ServeReport) -> list[Section]:
    """One request at a time, then many at once."""
    return [_overhead(report), _throughput(report)]


def _overhead(report: ServeReport) -> Section:
    bars = [
        Bar(row.protocol, row.p50_ms, high=row.p99_ms, note=f"{row.p50_ms:.3f} ms, p99 {row.p99_ms:.3f}")
        for row in report.overhead
    ]
    rows = [row.cells() for row in report.overhead]
    return Section(
        "overhead",
        "One request at a time",
        [
            bar_chart("Milliseconds per call, median and 99th percentile", bars, unit="ms", label_width=110),
            html_table(OVERHEAD_HEADERS, rows, caption="Every figure"),
        ],
        f"{report.bundle}: {report.engine}. The overhead is the median of what a call takes longer than the "
        "in-process call of the same round.",
    )


def _throughput(report: ServeReport) -> Section:
    servers = list(dict.fromkeys(row.server for row in report.throughput))
    bars = [
        Bar(
            f"{row.server}, {row.encoding}",
            row.per_second,
            note=f"{row.per_second:.0f} a second",
            series=servers.index(row.server),
        )
        for row in report.throughput
    ]
    rows = [two_decimals(row.cells()) for row in report.throughput]
    return Section(
        "throughput",
        "Many requests at once",
        [
            paragraph(report.beside_peer() or ""),
            bar_chart("Answered requests a second", bars, unit="", label_width=170),
            html_table(THROUGHPUT_HEADERS, rows, caption="Every figure"),
        ],
        "Over HTTP, from a client in a process of its own on the same machine.",
    )
