"""The report of a latency measurement: as a section, and as a page beside what is known of the bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.latency.profile_report import LayerTime
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.latency.rows import LatencyRow
from dashdeploy.report.bundle_report import bundle_page
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import (
    Page,
    Section,
    folded,
    html_table,
    origin_rows,
    paragraph,
    provenance_section,
)

MOST_LAYERS = 40
"""More bars say less; the table has every layer."""

_ORDER = ("backbone", "direct", "compiled", "single")
"""The index of a variant is that of its color."""


def latency_page(report: LatencyReport, bundles: Sequence[Bundle]) -> Page:
    """The measurement, then every bundle's plan, parity and provenance."""
    measured = latency_section(report)
    title = "Latency of " + ", ".join(facts.label for facts in report.bundles)
    if len(bundles) == 1:
        page = bundle_page(bundles[0], measured=measured, made_by=report.provenance)
        (_, *rest) = page.sections
        return replace(page, title=title, sections=[measured, *profile_sections(report), *rest])
    labelled = dict(zip((facts.label for facts in report.bundles), bundles, strict=True))
    pages = {label: bundle_page(bundle, label=label) for label, bundle in labelled.items()}
    return Page(
        title=title,
        subtitle=report.machine_and_date,
        sections=[
            measured,
            *profile_sections(report),
            *(_folded_away(number, label, page) for number, (label, page) in enumerate(pages.items())),
            provenance_section(origin_rows(report.provenance)),
        ],
        layers={name: details for page in pages.values() for name, details in page.layers.items()},
    )


def _folded_away(number: int, label: str, page: Page) -> Section:
    """All sections of one bundle's page as one, of which the plan's table alone is open: several are long."""
    plan, *rest = page.sections
    table, *more = plan.parts
    parts = [
        table,
        folded("What every candidate costs", Markup("").join(more)),
        *(folded(section.title, Markup("").join(section.parts)) for section in rest),
    ]
    return Section(f"bundle-{number}", label, parts, plan.lead)


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


def profile_sections(report: LatencyReport) -> list[Section]:
    """Per bundle the layers that take most of a call."""
    several = len(report.bundles) > 1
    sections = []
    for number, profile in enumerate(report.profiles):
        prefix = f"{profile.bundle} " if several else ""
        bars = [
            Bar(
                label=f"{layer.layer}  {layer.lowering}",
                value=layer.ms,
                note=f"{layer.ms:.3f} ms, {share:.1%}",
                series=0 if layer.lowering in ("", "direct") else 1,
                layer=f"{prefix}{layer.layer}" if layer.lowering else None,
                strong=bool(layer.lowering),
            )
            for layer, share in zip(profile.layers, profile.shares(), strict=True)
        ]
        rows = [
            [layer.layer, layer.lowering, f"{layer.ms:.4f}", f"{share:.1%}", _operators(layer)]
            for layer, share in zip(profile.layers, profile.shares(), strict=True)
        ]
        table = html_table(
            ["layer", "lowering", "ms", "share", "by operator, ms"], rows, caption="Every layer"
        )
        title = "Milliseconds of a call by layer, as ONNX Runtime's profiler sees it"
        sections.append(
            Section(
                f"profile-{number}",
                f"{profile.bundle}: where the time goes" if several else "Where the time goes",
                [
                    bar_chart(title, bars[:MOST_LAYERS], unit="ms", label_width=260),
                    folded("Every layer", table),
                ],
                f"Batch {profile.batch}, {profile.threads} thread(s). The profiler takes time itself, so the sum is "
                "more than the latency; the shares count. Pale bars belong to no planned layer.",
            )
        )
    return sections


def _operators(layer: LayerTime) -> str:
    return ", ".join(f"{name} {ms:.3f}" for name, ms in layer.nodes.items())


def _label(row: LatencyRow, *, bundle: bool) -> str:
    return f"{row.bundle} {row.variant}, {row.engine}" if bundle else f"{row.variant}, {row.engine}"


def _table(report: LatencyReport) -> Markup:
    headers = [
        "variant",
        "threads",
        "batch",
        "p50 ms",
        "compiled is",
        "p50, 95 %",
        "p90 ms",
        "p99 ms",
        "p99, 95 %",
        "items/s",
    ]
    headers += ["MiB", "M multiply-adds", "of peak", "peak MiB"]
    rows = []
    for row in report.rows:
        bounds = {each.percentile: f"{each.low_ms:.3f} to {each.high_ms:.3f}" for each in row.intervals}
        rows.append(
            [
                _label(row, bundle=len(report.bundles) > 1),
                row.threads,
                row.batch,
                f"{row.p50_ms:.3f}",
                report.comparison(row),
                bounds.get(50),
                f"{row.p90_ms:.3f}",
                f"{row.p99_ms:.3f}",
                bounds.get(99),
                f"{row.items_per_second:.0f}",
                f"{row.size_mib:.2f}",
                None if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.2f}",
                None if row.peak_share is None else f"{row.peak_share:.0%}",
                None if row.peak_mib is None else f"{row.peak_mib:.0f}",
            ]
        )
    return html_table(headers, rows, caption="Every figure")
