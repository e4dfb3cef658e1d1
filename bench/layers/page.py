"""The sections of a layers result: the subsets' means, and of every subset its layers as bars and as a table."""

from __future__ import annotations

from dashdeploy.bench.layers.report import LayerResult, LayersReport, geometric_mean
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import Details, Section, folded, html_table, paragraph


def layers_sections(report: LayersReport) -> list[Section]:
    """The means first, then a section for each subset; pointing at a layer reads its plan."""
    subsets = report.subsets()
    means = [
        Bar(name, mean, note=f"{mean:.2f} times as fast, {len(results)} layers")
        for name, results in subsets.items()
        if (mean := geometric_mean(results)) is not None
    ]
    overall = ", ".join(
        f"{mean:.2f} in {rank}-D" for rank in (1, 2) if (mean := report.geometric_mean(rank)) is not None
    )
    summary = Section(
        "subsets",
        "Direct over chosen, by subset",
        [
            paragraph(f"Over all: {overall}. Slower than direct by more than 3 %: {report.slower}."),
            bar_chart("Geometric mean of how many times as fast as direct", means, unit="", label_width=230),
        ],
        f"{report.device}; each convolution was planned first, then timed in turns for {report.seconds:g} s.",
    )
    return [summary, *(_subset(number, *each) for number, each in enumerate(subsets.items()))]


def layers_details(report: LayersReport) -> Details:
    """What pointing at a layer shows: the plan and what was measured."""
    return {
        str(each.spec): {
            "plan": each.chosen,
            "reason": each.reason,
            "direct": f"{each.direct_ms:.3f} ms",
            "chosen": f"{each.chosen_ms:.3f} ms",
            "measured": f"{_times_as_fast(each)} times as fast",
        }
        for each in report.results
    }


def _subset(number: int, name: str, results: list[LayerResult]) -> Section:
    bars = [
        Bar(
            label=str(each.spec),
            value=each.speedup,
            high=each.high,
            note=f"{each.speedup:.2f}, {each.chosen}",
            series=0 if each.chosen == "direct" else 1,
            layer=str(each.spec),
        )
        for each in results
    ]
    rows = [
        [str(each.spec), each.chosen, f"{each.direct_ms:.3f}", f"{each.chosen_ms:.3f}", _times_as_fast(each)]
        for each in results
    ]
    headers = ["convolution", "chosen", "direct ms", "chosen ms", "times as fast (95 %)"]
    table = html_table(headers, rows, caption=name, layers=True)
    return Section(
        f"subset-{number}",
        name,
        [
            bar_chart("How many times as fast as direct", bars, unit="", label_width=230),
            folded("Every figure", table),
        ],
    )


def _times_as_fast(result: LayerResult) -> str:
    return f"{result.speedup:.2f} ({result.low:.2f} to {result.high:.2f})"
