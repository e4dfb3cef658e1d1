"""The result of a latency measurement: as JSON for machines, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field
from rich.table import Table

from dashdeploy.bench.common.result import BenchResult
from dashdeploy.bench.latency.profile_report import Profile
from dashdeploy.bench.latency.rows import BatchNoise, BundleFacts, LatencyRow, Speedup
from dashdeploy.errors import InputError
from dashdeploy.report.text_table import as_text


class LatencyReport(BenchResult):
    """A latency measurement and all that is needed to judge and repeat it.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        seconds: of timing per set of rounds; each batch size, number of threads and network of the list has one.
        bundles: what was measured.
        engines: the engines, in words, by name.
        skipped: engines that were asked for with ``all`` and are not here, with the reasons.
        peak_gflops: of a large fp32 matrix product on this machine, by threads.
        gpu_peak_gflops: of a large matrix product on this machine's GPU, by precision; empty where nothing ran there.
        rows: one per threads, batch size, bundle, engine and variant.
        speedups: one per threads, batch size, bundle, engine and baseline.
        noise: one per set of rounds.
        cpu_time: whether the calling thread's processor time was measured instead of the wall clock.
        profiles: where the compiled models' time goes, one per bundle; empty if it was not asked for.
    """

    kind: Literal["latency"] = "latency"
    format_version: Literal[3] = 3
    seconds: float
    bundles: tuple[BundleFacts, ...]
    engines: dict[str, str]
    skipped: dict[str, str]
    peak_gflops: dict[int, float]
    gpu_peak_gflops: dict[str, float] = Field(default_factory=dict)
    rows: tuple[LatencyRow, ...]
    speedups: tuple[Speedup, ...]
    noise: tuple[BatchNoise, ...]
    cpu_time: bool = False
    profiles: tuple[Profile, ...] = ()

    @classmethod
    def merged(cls, reports: Sequence[Self]) -> Self:
        """Measurements that were made one after the other, as one.

        Raises:
            InputError: there is none, or two bundles have one name.
        """
        if not reports:
            raise InputError("nothing to measure; name at least one bundle or network")
        if len(reports) == 1:
            return reports[0]
        bundles = tuple(bundle for each in reports for bundle in each.bundles)
        labels = [bundle.label for bundle in bundles]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"{label}: two bundles have this name; export one with `name=OTHER`")
        return cls(
            provenance=reports[0].provenance,
            seconds=reports[0].seconds,
            cpu_time=reports[0].cpu_time,
            bundles=bundles,
            engines={name: words for each in reports for name, words in each.engines.items()},
            skipped={
                f"{name}, {each.bundles[0].label}" if len(each.bundles) == 1 else name: reason
                for each in reports
                for name, reason in each.skipped.items()
            },
            peak_gflops={
                count: max(each.peak_gflops.get(count, 0.0) for each in reports)
                for count in reports[0].peak_gflops
            },
            gpu_peak_gflops={
                name: max(each.gpu_peak_gflops.get(name, 0.0) for each in reports)
                for name in dict.fromkeys(name for each in reports for name in each.gpu_peak_gflops)
            },
            rows=tuple(row for each in reports for row in each.rows),
            speedups=tuple(speedup for each in reports for speedup in each.speedups),
            noise=tuple(noise for each in reports for noise in each.noise),
            profiles=tuple(profile for each in reports for profile in each.profiles),
        )

    @property
    def noisy(self) -> bool:
        """Whether the machine was noisy in any set of rounds."""
        return any(entry.noisy for entry in self.noise)

    def speedup(self, batch: int, over: str) -> Speedup | None:
        """The compiled model's first speed-up over the variant `over` at `batch`; None if it was not measured."""
        found = (entry for entry in self.speedups if (entry.batch, entry.over) == (batch, over))
        return next(found, None)

    def speedup_of(self, row: LatencyRow) -> Speedup | None:
        """The compiled model's speed-up over the variant of `row`, on the same engine."""
        key = row.bundle, row.engine, row.threads, row.batch, row.variant
        found = (
            each
            for each in self.speedups
            if (each.bundle, each.engine, each.threads, each.batch, each.over) == key
        )
        return next(found, None)

    def noise_warning(self) -> str | None:
        """One line that says how noisy the machine was; None if it was quiet."""
        noisy = [entry for entry in self.noise if entry.noisy]
        if not noisy:
            return None
        worst = max(noisy, key=lambda entry: max(1 - entry.low, entry.high - 1))
        apart = len({entry.bundles for entry in self.noise}) > 1
        of = f"{', '.join(worst.bundles)}: " if apart else ""
        return (
            f"noisy machine: {of}at batch {worst.batch} one variant timed against itself gave {worst.median:.3f} "
            f"({worst.low:.3f} to {worst.high:.3f}) instead of 1; close other programs or measure longer"
        )

    def text(self) -> str:
        """The report for a person: the table, then the profiles."""
        return "\n\n".join([as_text(self.table()), *(each.text() for each in self.profiles)])

    def table(self) -> Table:
        """The report for a terminal, as a rich table."""
        caption = [
            *self.engines.values(),
            *(["processor time of the calling thread, not the wall clock"] if self.cpu_time else []),
            *(f"without {engine}: {reason}" for engine, reason in self.skipped.items()),
            self.provenance.machine,
            "peak is that of a matrix product: "
            + ", ".join(
                [f"{peak:.0f} GFLOP/s with {n} thread(s)" for n, peak in self.peak_gflops.items()]
                + [f"{peak:.0f} GFLOP/s on the GPU in {name}" for name, peak in self.gpu_peak_gflops.items()]
            ),
            self.noise_warning() or "quiet: one variant timed twice agrees",
        ]
        title = "; ".join(bundle.title for bundle in self.bundles)
        table = Table(title=title, caption="\n".join(caption), caption_justify="left")
        several = len(self.bundles) > 1
        for heading in (*(["bundle"] if several else []), "variant", "engine"):
            table.add_column(heading)
        memory = any(row.peak_mib is not None for row in self.rows)
        headings = ["threads", "batch", "p50 ms", "p90 ms", "p99 ms", "items/s", "MiB", "M madds", "of peak"]
        for heading in [*headings, *(["peak MiB"] if memory else [])]:
            table.add_column(heading, justify="right")
        table.add_column("compiled is", justify="left")
        previous = None
        for row in self.rows:
            if previous not in (None, (row.threads, row.batch)):
                table.add_section()
            previous = (row.threads, row.batch)
            table.add_row(
                *([row.bundle] if several else []),
                row.variant,
                row.engine,
                str(row.threads),
                str(row.batch),
                *(f"{value:.3f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
                f"{row.items_per_second:.0f}",
                f"{row.size_mib:.2f}",
                "-" if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.2f}",
                "-" if row.peak_share is None else f"{row.peak_share:.0%}",
                *(["-" if row.peak_mib is None else f"{row.peak_mib:.0f}"] if memory else []),
                self.comparison(row),
            )
        return table

    def comparison(self, row: LatencyRow) -> str:
        """How the compiled model compares with the variant of `row`, in words."""
        ratio = self.speedup_of(row)
        return "" if ratio is None else f"{ratio.median:.2f}x as fast ({ratio.low:.2f} to {ratio.high:.2f})"
