"""The report of a latency measurement: as a section, and as a page beside what is known of the bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from dashdeploy.bench.latency_report import LatencyReport, LatencyRow
from dashdeploy.bundle import Bundle
from dashdeploy.report.bundle_report import bundle_page
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import Page, Section, html_table, paragraph

_ORDER = ("backbone", "direct", "compiled")


def latency_page(report: LatencyReport, bundles: Sequence[Bundle]) -> Page:
    """The measurement, then every bundle's plan, parity and provenance."""
    measured = latency_section(report)
    several = len(bundles) > 1
    pages = [
        bundle_page(
            bundle,
            measured=measured if index == 0 else None,
            made_by=report.provenance if index == 0 else None,
            label=facts.label if several else "",
        )
        for index, (facts, bundle) in enumerate(zip(report.bundles, bundles, strict=True))
    ]
    if not several:
        return replace(pages[0], title=f"{bundles[0].manifest.name}: latency")
    sections = [measured]
    for facts, page in zip(report.bundles, pages, strict=True):
        sections += [
            replace(section, title=f"{facts.label}: {section.title[0].lower()}{section.title[1:]}")
            for section in page.sections
            if section is not measured
        ]
    return Page(
        title="Latency of " + ", ".join(facts.label for facts in report.bundles),
        subtitle=f"{report.provenance.machine}, {report.provenance.date}",
        sections=[replace(each, anchor=f"section-{index}") for index, each in enumerate(sections)],
        layers={name: details for page in pages for name, details in page.layers.items()},
    )


def latency_section(report: LatencyReport) -> Section:
    """Bars of the medians with whiskers to the 99th percentile, and every figure as a table."""
    parts = [paragraph(report.noise_warning() or "The machine was quiet: one variant timed twice agrees.")]
    apart = len({each.bundles for each in report.noise}) > 1
    for rounds in report.noise:
        bars = [
            Bar(
                label=_label(row, bundle=len(rounds.bundles) > 1),
                value=row.p50_ms,
                high=row.p99_ms,
                note=f"{row.p50_ms:.3g} ms, p99 {row.p99_ms:.3g}",
                series=_ORDER.index(row.variant),
                strong=row.variant == "compiled",
            )
            for row in report.rows
            if rounds.timed(row)
        ]
        batch = f"batch {rounds.batch}, {rounds.threads} thread(s): milliseconds per call, median and 99th percentile"
        title = f"{', '.join(rounds.bundles)}, {batch}" if apart else f"{batch[0].upper()}{batch[1:]}"
        parts.append(bar_chart(title, bars, unit="ms"))
    parts.append(_table(report))
    parts += [paragraph(f"Without {engine}: {reason}") for engine, reason in report.skipped.items()]
    engines = "; ".join(report.engines.values())
    return Section("latency", "Latency", parts, f"Taking turns in one process: {engines}.")


def _label(row: LatencyRow, *, bundle: bool) -> str:
    return f"{row.bundle} {row.variant}, {row.engine}" if bundle else f"{row.variant}, {row.engine}"


def _table(report: LatencyReport) -> Markup:
    headers = [
        "variant",
        "threads",
        "batch",
        "p50 ms",
        "p50, 95 %",
        "p90 ms",
        "p99 ms",
        "p99, 95 %",
        "items/s",
    ]
    headers += ["MiB", "M multiply-adds", "of peak", "peak MiB", "compiled is"]
    rows = []
    for row in report.rows:
        bounds = {each.percentile: f"{each.low_ms:.3f} to {each.high_ms:.3f}" for each in row.intervals}
        rows.append(
            [
                _label(row, bundle=len(report.bundles) > 1),
                row.threads,
                row.batch,
                f"{row.p50_ms:.3f}",
                bounds.get(50),
                f"{row.p90_ms:.3f}",
                f"{row.p99_ms:.3f}",
                bounds.get(99),
                f"{row.items_per_second:.0f}",
                f"{row.size_mib:.2f}",
                None if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.2f}",
                None if row.peak_share is None else f"{row.peak_share:.0%}",
                None if row.peak_mib is None else f"{row.peak_mib:.0f}",
                report.comparison(row),
            ]
        )
    return html_table(headers, rows, caption="Every figure")
