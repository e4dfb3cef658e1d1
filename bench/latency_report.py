"""The result of a latency measurement: as JSON for machines, as a table for people."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from dashdeploy.timing import RatioEstimate

FORMAT_VERSION = 1

_QUIET_WITHIN = 0.03


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LatencyRow(_Frozen):
    """One variant at one batch size.

    Attributes:
        batch: items per call.
        variant: ``backbone``, ``direct`` or ``compiled``.
        calls: how many calls were timed.
        p50_ms: median milliseconds per call.
        p90_ms: 90th percentile of the milliseconds per call.
        p99_ms: 99th percentile; with fewer than a hundred calls it says little.
        items_per_second: items over the sum of the calls' times.
    """

    batch: int
    variant: str
    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    items_per_second: float


class Speedup(_Frozen):
    """How many times as fast the compiled model is as another variant, at one batch size.

    Attributes:
        batch: items per call.
        over: the other variant.
        median: median over the rounds of the other's time over the compiled model's in the same round; above
            1 the compiled model is faster.
        low: lower end of the 95 % confidence interval of the median.
        high: upper end of it.
    """

    batch: int
    over: str
    median: float
    low: float
    high: float

    @classmethod
    def measured(cls, batch: int, over: str, ratio: RatioEstimate) -> Speedup:
        """The speed-up whose per-round ratios were estimated as `ratio`."""
        return cls(batch=batch, over=over, median=ratio.median, low=ratio.low, high=ratio.high)


class BatchNoise(_Frozen):
    """What one variant timed against itself came to, at one batch size; on a quiet machine it is 1.

    Attributes:
        batch: items per call.
        median: median over the rounds of the ratio of the two times of the one variant.
        low: lower end of the 95 % confidence interval of the median.
        high: upper end of it.
        noisy: whether the interval reaches beyond 3 % from 1.
    """

    batch: int
    median: float
    low: float
    high: float
    noisy: bool

    @classmethod
    def measured(cls, batch: int, ratio: RatioEstimate) -> BatchNoise:
        """The noise that the control ratio `ratio` shows."""
        noisy = ratio.low < 1 - _QUIET_WITHIN or ratio.high > 1 + _QUIET_WITHIN
        return cls(batch=batch, median=ratio.median, low=ratio.low, high=ratio.high, noisy=noisy)


class LatencyReport(_Frozen):
    """A latency measurement and all that is needed to judge and repeat it.

    Attributes:
        format_version: this format's version.
        bundle: the bundle's path as it was given.
        model: the model's name and version.
        precision: the bundle's precision.
        engine: the engine, its version and device.
        machine: processor, cores, operating system.
        threads: threads within one operator.
        seconds: seconds of timing per batch size, all variants together.
        date: when it was measured, UTC, ISO 8601.
        command: the command line of the measuring process.
        rows: one per batch size and variant.
        speedups: one per batch size and baseline.
        noise: one per batch size.
    """

    format_version: int = FORMAT_VERSION
    bundle: str
    model: str
    precision: str
    engine: str
    machine: str
    threads: int
    seconds: float
    date: str
    command: str
    rows: tuple[LatencyRow, ...]
    speedups: tuple[Speedup, ...]
    noise: tuple[BatchNoise, ...]

    @property
    def noisy(self) -> bool:
        """Whether the machine was noisy at any batch size."""
        return any(entry.noisy for entry in self.noise)

    def speedup(self, batch: int, over: str) -> Speedup | None:
        """The compiled model's speed-up over the variant `over` at `batch`; None if it was not measured."""
        found = (entry for entry in self.speedups if (entry.batch, entry.over) == (batch, over))
        return next(found, None)

    def noise_warning(self) -> str | None:
        """One line that says how noisy the machine was; None if it was quiet."""
        noisy = [entry for entry in self.noise if entry.noisy]
        if not noisy:
            return None
        worst = max(noisy, key=lambda entry: max(1 - entry.low, entry.high - 1))
        return (
            f"noisy machine: at batch {worst.batch} one variant timed against itself gave {worst.median:.3f} "
            f"({worst.low:.3f} to {worst.high:.3f}) instead of 1; close other programs or measure longer"
        )

    def to_json(self) -> str:
        """The report as JSON text, indented, without a final newline."""
        return self.model_dump_json(indent=2)

    def table(self) -> Table:
        """The report for a terminal, as a rich table."""
        caption = [self.engine, self.machine, self.noise_warning() or "quiet: one variant timed twice agrees"]
        table = Table(
            title=f"{self.model}, {self.precision}", caption="\n".join(caption), caption_justify="left"
        )
        table.add_column("variant")
        for heading in ("batch", "p50 ms", "p90 ms", "p99 ms", "items/s"):
            table.add_column(heading, justify="right")
        table.add_column("compiled is", justify="left")
        previous = None
        for row in self.rows:
            if previous not in (None, row.batch):
                table.add_section()
            previous = row.batch
            table.add_row(
                row.variant,
                str(row.batch),
                *(f"{value:.3f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
                f"{row.items_per_second:.0f}",
                self._comparison(row),
            )
        return table

    def _comparison(self, row: LatencyRow) -> str:
        ratio = self.speedup(row.batch, row.variant)
        return "" if ratio is None else f"{ratio.median:.2f}x as fast ({ratio.low:.2f} to {ratio.high:.2f})"
