"""The result of comparing engines: as JSON for machines, as a table for people."""

from __future__ import annotations

from typing import Literal

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.common.result import BenchResult
from dashdeploy.bench.latency.rows import BatchNoise
from dashdeploy.report.text_table import table

HEADERS = (
    "engine",
    "variant",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "error",
    "file MiB",
    "peak MiB",
    "direct / compiled",
    "compiled / backbone",
)


class EngineRow(FrozenModel):
    """One variant of a model in one engine.

    Attributes:
        model: the model's label.
        engine: what ran it.
        variant: ``backbone``, ``direct`` or ``compiled``.
        planned_for: the target that the compiled model was planned for.
        calls: how many calls were timed.
        p50_ms: median milliseconds per call; of an engine in another process, inside that.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        round_trip_ms: median of the call with the way to the other process and back; None for engines in this one.
        error: largest difference from what ONNX Runtime says with every convolution direct, as a share of the
            largest output.
        file_mib: of the file that the engine loads.
        peak_mib: peak resident memory of a process, with its children, that runs this alone; None if not measured.
    """

    model: str
    engine: str
    variant: str
    planned_for: str
    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    round_trip_ms: float | None
    error: float
    file_mib: float
    peak_mib: float | None = None


class EngineRatio(FrozenModel):
    """A ratio of the times of two variants in one engine: the median over the rounds with its 95 % interval.

    Attributes:
        model: the model's label.
        engine: what ran both.
        of: ``direct / compiled`` or ``compiled / backbone``.
        median: of the rounds' ratios.
        low: lower end of the interval.
        high: upper end of it.
    """

    model: str
    engine: str
    of: Literal["direct / compiled", "compiled / backbone"]
    median: float
    low: float
    high: float


class EnginesReport(BenchResult):
    """A comparison of engines and all that is needed to judge and repeat it.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        seconds: of timing per model.
        batch: samples per call.
        threads: within one operator.
        engines: engine, version and device in words, by name.
        runtime_mib: of each engine's files on disk; left out where that is not known.
        skipped: engines that were asked for and did not run, with the reasons.
        rows: one per model, engine and variant.
        ratios: two per model and engine, as far as there are the variants.
        noise: one per model.
    """

    kind: Literal["engines"] = "engines"
    format_version: Literal[1] = 1
    seconds: float
    batch: int
    threads: int
    engines: dict[str, str]
    runtime_mib: dict[str, float]
    skipped: dict[str, str]
    rows: tuple[EngineRow, ...]
    ratios: tuple[EngineRatio, ...]
    noise: tuple[BatchNoise, ...]

    @property
    def models(self) -> list[str]:
        """The labels of the models, in order."""
        return list(dict.fromkeys(row.model for row in self.rows))

    def ratio(self, model: str, engine: str, of: str) -> EngineRatio | None:
        """One of the ratios; None where a variant is not there."""
        found = (each for each in self.ratios if (each.model, each.engine, each.of) == (model, engine, of))
        return next(found, None)

    def fastest(self, model: str) -> EngineRow:
        """The row of the least median latency among those that compute the searched network."""
        rows = [row for row in self.rows if row.model == model and row.variant != "backbone"]
        return min(rows, key=lambda row: row.p50_ms)

    def cells(self, row: EngineRow) -> list[str]:
        """What a table shows of a row, in the order of `HEADERS`."""
        ratios = (
            self.ratio(row.model, row.engine, of) if row.variant == "compiled" else None
            for of in ("direct / compiled", "compiled / backbone")
        )
        return [
            row.engine,
            row.variant,
            *(f"{value:.3f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
            f"{row.error:.1e}",
            f"{row.file_mib:.2f}",
            "-" if row.peak_mib is None else f"{row.peak_mib:.0f}",
            *(
                "" if each is None else f"{each.median:.2f} ({each.low:.2f} to {each.high:.2f})"
                for each in ratios
            ),
        ]

    def notes(self) -> list[str]:
        """What the engines are, how large, which are missing, and how quiet the machine was."""
        trips = {
            row.engine: row.round_trip_ms - row.p50_ms for row in self.rows if row.round_trip_ms is not None
        }
        lines = []
        for name, words in self.engines.items():
            size = f", {self.runtime_mib[name]:.0f} MiB on disk" if name in self.runtime_mib else ""
            trip = (
                f", timed inside; the way there and back takes {trips[name]:.2f} ms" if name in trips else ""
            )
            lines.append(f"{name}: {words}{size}{trip}")
        lines += [f"without {name}: {reason}" for name, reason in self.skipped.items()]
        for model in self.models:
            best = self.fastest(model)
            lines.append(f"fastest for {model}: {best.engine}, {best.variant}, {best.p50_ms:.3f} ms")
        noisy = [each for each in self.noise if each.noisy]
        worst = max(noisy, key=lambda each: max(1 - each.low, each.high - 1), default=None)
        lines.append(
            "quiet: one variant timed twice agrees"
            if worst is None
            else f"noisy machine: one variant timed against itself gave {worst.median:.3f} ({worst.low:.3f} to "
            f"{worst.high:.3f}) instead of 1; ratios of the same rounds hold, milliseconds do not"
        )
        return lines

    def text(self) -> str:
        """The report for a person: a table per model, then the notes."""
        parts = [
            table(
                HEADERS,
                [self.cells(row) for row in self.rows if row.model == model],
                title=f"{model}, batch {self.batch}, {self.threads} thread(s)",
            )
            for model in self.models
        ]
        return "\n\n".join([*parts, "\n".join([*self.notes(), self.provenance.machine])])
