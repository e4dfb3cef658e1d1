"""Any result of the bench commands as a report for people."""

from __future__ import annotations

from dashdeploy.bench.accuracy.page import accuracy_section
from dashdeploy.bench.engines.page import engines_sections
from dashdeploy.bench.engines.report import EnginesReport
from dashdeploy.bench.gpu_check.page import gpu_check_sections
from dashdeploy.bench.gpu_check.report import GpuCheckReport
from dashdeploy.bench.latency.page import latency_section, profile_sections
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.layers.page import layers_details, layers_sections
from dashdeploy.bench.layers.report import LayersReport
from dashdeploy.bench.loadgen.report import LoadGenReport, loadgen_section
from dashdeploy.bench.search_cost.page import search_cost_section
from dashdeploy.bench.search_cost.report import SearchCostReport
from dashdeploy.bench.serve.page import serve_sections
from dashdeploy.bench.serve.report import ServeReport
from dashdeploy.bench.show.comparison import Result
from dashdeploy.report.page import Page, Section, origin_rows, provenance_section


def result_page(result: Result) -> Page:
    """The page of a result, with what it was measured on and by."""
    made = result.provenance
    title, sections = _content(result)
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return Page(
        title=title,
        subtitle=result.machine_and_date,
        sections=[*sections, provenance_section(origin_rows(made) | {"versions": versions})],
        layers=layers_details(result) if isinstance(result, LayersReport) else {},
    )


def _content(result: Result) -> tuple[str, list[Section]]:
    if isinstance(result, LatencyReport):
        labels = ", ".join(each.label for each in result.bundles)
        return f"Latency of {labels}", [latency_section(result), *profile_sections(result)]
    if isinstance(result, LayersReport):
        return "Single convolutions, direct and chosen", layers_sections(result)
    if isinstance(result, EnginesReport):
        return f"{', '.join(result.models)} in every engine", engines_sections(result)
    if isinstance(result, SearchCostReport):
        return "What a step of the search costs", [search_cost_section(result)]
    if isinstance(result, LoadGenReport):
        return f"MLPerf LoadGen, {result.scenario}", [loadgen_section(result)]
    if isinstance(result, GpuCheckReport):
        return "What a GPU does", gpu_check_sections(result)
    if isinstance(result, ServeReport):
        return "What serving costs", serve_sections(result)
    return "Accuracy of DASH and of its backbone", [accuracy_section(result)]
