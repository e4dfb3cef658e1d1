"""The section of an accuracy result: both networks by task, and every run."""

from __future__ import annotations

from dashdeploy.bench.accuracy.report import HEADERS, AccuracyReport
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import Section, html_table, paragraph


def accuracy_section(result: AccuracyReport) -> Section:
    """Bars of the means, a table by task, a table of the runs, and what failed.

    Args:
        result: what was measured.
    """
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
            html_table(list(HEADERS), result.rows(), caption="Per task"),
            html_table(headers, seeds, caption="Every run"),
            *failures,
        ],
        "Both networks had the same budget; each seed looked at the test data once.",
    )
