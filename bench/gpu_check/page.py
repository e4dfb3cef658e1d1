"""The sections of a GPU check's page: what each section says, as a table of its own."""

from __future__ import annotations

from markupsafe import Markup

from dashdeploy.bench.gpu_check.report import GpuCheckReport, Row
from dashdeploy.report.page import Section, html_table, paragraph


def gpu_check_sections(result: GpuCheckReport) -> list[Section]:
    """A verdict of every section, then its rows."""
    what = result.description or "A rehearsal on the CPU, which says nothing about a GPU."
    verdicts = [
        [each.name, each.status, f"{each.seconds:.0f}", each.reason or ""] for each in result.sections
    ]
    headers = ["section", "status", "seconds", "why"]
    overview = Section("sections", "Sections", [html_table(headers, verdicts, caption="Sections")], what)
    return [
        overview,
        *(Section(f"gpu-{each.name}", each.name, _parts(each.rows), each.about) for each in result.sections),
    ]


def _parts(rows: tuple[Row, ...]) -> list[Markup]:
    if not rows:
        return [paragraph("No rows.")]
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    verdicts = {True: "yes", False: "no", None: None}
    cells: list[list[object]] = []
    for row in rows:
        figures = [row.figures.get(name) for name in names]
        shown = [f"{figure:.4g}" if isinstance(figure, float) else figure for figure in figures]
        cells.append([row.what, *shown, verdicts[row.passed], row.reason])
    return [html_table(["what", *names, "as it has to be", "note"], cells, caption="Rows")]
