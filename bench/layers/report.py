"""The result of `bench layers`: as JSON for machines, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Literal

from rich.table import Table

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.common.result import BenchResult
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.report.text_table import as_text

SLOWER = 1 / 1.03
"""A speed-up below this is a layer that lost time by the planner's choice, beyond the noise."""


class LayerResult(FrozenModel):
    """One convolution.

    Attributes:
        spec: the convolution.
        chosen: the planner's lowering.
        reason: why it was chosen, in words.
        direct_ms: median milliseconds of the direct convolution.
        chosen_ms: median milliseconds of the chosen lowering.
        speedup: median over the rounds of direct / chosen.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    spec: ConvSpec
    chosen: str
    reason: str
    direct_ms: float
    chosen_ms: float
    speedup: float
    low: float
    high: float


class LayersReport(BenchResult):
    """The suite's results.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        device: engine, version, device and threads.
        threads: threads within one operator.
        seconds: how long each convolution was timed, both variants together.
        results: one per convolution.
    """

    kind: Literal["layers"] = "layers"
    format_version: Literal[1] = 1
    device: str
    threads: int
    seconds: float
    results: tuple[LayerResult, ...]

    def geometric_mean(self, rank: int) -> float | None:
        """Of the speed-ups over the convolutions with `rank` spatial axes; None if there are none."""
        return geometric_mean([result for result in self.results if result.spec.rank == rank])

    def subsets(self) -> dict[str, list[LayerResult]]:
        """The results by equal dimensions, channels, batch and, in 2-D, size."""
        found: dict[str, list[LayerResult]] = {}
        for result in self.results:
            found.setdefault(_subset(result.spec), []).append(result)
        return found

    @property
    def slower(self) -> int:
        """How many chosen lowerings are slower than direct by more than 3 %."""
        return sum(result.speedup < SLOWER for result in self.results)

    def text(self) -> str:
        """The report for a person."""
        return as_text(self.table())

    def table(self) -> Table:
        """The report for a terminal."""
        means = ", ".join(
            f"{rank}-D {mean:.2f}" for rank in (1, 2) if (mean := self.geometric_mean(rank)) is not None
        )
        lines = [
            f"geometric mean of direct / chosen: {means}; slower than direct by more than 3 %: {self.slower}",
            *(f"  {name}: {geometric_mean(results):.2f}" for name, results in self.subsets().items()),
            self.device,
            self.provenance.machine,
        ]
        caption = "\n".join(lines)
        table = Table(title="layer suite", caption=caption, caption_justify="left")
        table.add_column("convolution")
        table.add_column("chosen")
        for heading in ("direct ms", "chosen ms", "times as fast"):
            table.add_column(heading, justify="right")
        for result in self.results:
            ratio = f"{result.speedup:.2f} ({result.low:.2f} to {result.high:.2f})"
            table.add_row(
                str(result.spec), result.chosen, f"{result.direct_ms:.3f}", f"{result.chosen_ms:.3f}", ratio
            )
        return table


def geometric_mean(results: Sequence[LayerResult]) -> float | None:
    """Of the speed-ups; None if there are none."""
    logs = [log(result.speedup) for result in results]
    return exp(sum(logs) / len(logs)) if logs else None


def _subset(spec: ConvSpec) -> str:
    size = "" if spec.rank == 1 else f", {'x'.join(map(str, spec.spatial))}"
    return f"{spec.rank}-D, {spec.in_channels} channels{size}, batch {spec.batch}"
