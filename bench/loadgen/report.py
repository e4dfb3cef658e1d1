"""The result of `measure_loadgen`: LoadGen's verdict and figures, as text and as the section of a page."""

from __future__ import annotations

from typing import Literal

from dashdeploy.bench.common.result import BenchResult
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import Section, html_table, paragraph
from dashdeploy.report.text_table import table


class LoadGenReport(BenchResult):
    """LoadGen's result.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        bundle: the bundle's path.
        answered_by: the engine, or the server.
        scenario: LoadGen's name of it.
        valid: its verdict.
        figures: every figure of its summary, by its own name; latencies are in nanoseconds.
        settings: what it was told.
        recommendations: what it says to a run that is not valid.
    """

    kind: Literal["loadgen"] = "loadgen"
    format_version: Literal[1] = 1
    bundle: str
    answered_by: str
    scenario: str
    valid: bool
    figures: dict[str, float]
    settings: dict[str, float]
    recommendations: tuple[str, ...]

    def text(self) -> str:
        """The result for a person."""
        told = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        parts = [
            f"MLPerf LoadGen, {self.scenario}: {'VALID' if self.valid else 'INVALID'}",
            f"{self.bundle}, answered by {self.answered_by}",
            table(["", ""], self.rows()),
            f"told: {told}",
            *([] if self.valid else [self.why()]),
        ]
        return "\n\n".join(parts)

    def rows(self) -> list[list[object]]:
        """Its figures with their names; times in milliseconds."""
        return [
            [name.removesuffix(" (ns)"), f"{value / 1e6:.3f} ms"]
            if name.endswith("(ns)")
            else [name, f"{value:.6g}"]
            for name, value in self.figures.items()
        ]

    def percentiles(self) -> dict[float, float]:
        """Milliseconds by percentile."""
        ending = " percentile latency (ns)"
        found = {}
        for name, value in self.figures.items():
            at = name.removesuffix(ending)
            if (
                at != name and at.replace(".", "").isdigit()
            ):  # SingleStream names its own twice, once as 90.0th
                found[float(at)] = value / 1e6
        return found

    def why(self) -> str:
        """What LoadGen says of an invalid run."""
        return "; ".join(self.recommendations) or "it gives no reason; run longer with `seconds`"


def loadgen_section(result: LoadGenReport) -> Section:
    """The verdict with its reason, bars of the percentiles, and every figure."""
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
