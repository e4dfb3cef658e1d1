"""The rows of a latency measurement: what was measured, the figures, the ratios, and the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.timing import RatioEstimate

_QUIET_WITHIN = 0.03


class Quantile(FrozenModel):
    """How far a percentile can be trusted.

    Attributes:
        percentile: such as 99.
        low_ms: lower end of its 95 % confidence interval, by bootstrap over the calls.
        high_ms: upper end of it.
    """

    percentile: int
    low_ms: float
    high_ms: float


class BundleFacts(FrozenModel):
    """What was measured.

    Attributes:
        label: what the rows call it.
        path: as it was given.
        model: the model's name and version.
        precision: of the compiled model.
        target: what it was planned for.
        length: of the dynamic axes that are not the batch; None if the model has none.
    """

    label: str
    path: str
    model: str
    precision: str
    target: str
    length: int | None = None

    @classmethod
    def of(cls, label: str, bundle: Bundle, length: int | None = None) -> Self:
        """The facts of `bundle`."""
        manifest = bundle.manifest
        return cls(
            label=label,
            path=str(bundle.path),
            model=f"{manifest.name} version {manifest.version}",
            precision=manifest.precision,
            target=manifest.target,
            length=length,
        )

    @property
    def title(self) -> str:
        """The model in words."""
        length = "" if self.length is None else f", length {self.length}"
        return f"{self.model}, {self.precision}{length}"


class LatencyRow(FrozenModel):
    """One variant on one engine at one batch size.

    Attributes:
        bundle: the bundle's label.
        engine: what ran it.
        threads: threads within one operator.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``; of torch on a GPU ``tf32`` as well.
        batch: items per call.
        variant: ``backbone``, ``single`` (an ensemble's first member), ``direct`` or ``compiled``.
        calls: how many calls were timed.
        p50_ms: median milliseconds per call.
        p90_ms: 90th percentile of the milliseconds per call.
        p99_ms: 99th percentile; with fewer than a hundred calls it says little, as its interval shows.
        intervals: the confidence intervals of these three.
        items_per_second: items over the sum of the calls' times.
        size_mib: of the file that was run.
        multiply_adds: of one item; None if sizes are not known.
        peak_share: multiply-adds per second over those of a large matrix product on this machine, or on its GPU in
            the same precision for what runs there; None if either is not known. Those with padding are counted, so
            an engine that skips them may exceed 1.
        peak_mib: peak resident memory of a process that runs this alone; None if it was not measured.
    """

    bundle: str
    engine: str
    threads: int
    precision: str
    batch: int
    variant: str
    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    intervals: tuple[Quantile, ...]
    items_per_second: float
    size_mib: float
    multiply_adds: int | None
    peak_share: float | None
    peak_mib: float | None = None


class Speedup(FrozenModel):
    """How many times as fast the compiled model is as another variant on the same engine, at one batch size.

    Attributes:
        bundle: the bundle's label.
        engine: what ran both.
        threads: threads within one operator.
        batch: items per call.
        over: the other variant.
        median: median over the rounds of the other's time over the compiled model's in the same round; above
            1 the compiled model is faster.
        low: lower end of the 95 % confidence interval of the median.
        high: upper end of it.
    """

    bundle: str
    engine: str
    threads: int
    batch: int
    over: str
    median: float
    low: float
    high: float

    @classmethod
    def measured(
        cls, bundle: str, engine: str, threads: int, batch: int, over: str, ratio: RatioEstimate
    ) -> Self:
        """The speed-up whose per-round ratios were estimated as `ratio`."""
        return cls(
            bundle=bundle,
            engine=engine,
            threads=threads,
            batch=batch,
            over=over,
            median=ratio.median,
            low=ratio.low,
            high=ratio.high,
        )


class BatchNoise(FrozenModel):
    """What one variant timed against itself came to, in one set of rounds; on a quiet machine it is 1.

    Attributes:
        bundles: the labels of the bundles that took turns in these rounds.
        batch: items per call.
        threads: threads within one operator.
        median: median over the rounds of the ratio of the two times of the one variant.
        low: lower end of the 95 % confidence interval of the median.
        high: upper end of it.
        noisy: whether the interval reaches beyond 3 % from 1.
    """

    bundles: tuple[str, ...]
    batch: int
    threads: int
    median: float
    low: float
    high: float
    noisy: bool

    @classmethod
    def measured(cls, bundles: Sequence[str], batch: int, threads: int, ratio: RatioEstimate) -> Self:
        """The noise that the control ratio `ratio` shows."""
        return cls(
            bundles=tuple(bundles),
            batch=batch,
            threads=threads,
            median=ratio.median,
            low=ratio.low,
            high=ratio.high,
            noisy=ratio.low < 1 - _QUIET_WITHIN or ratio.high > 1 + _QUIET_WITHIN,
        )

    def timed(self, row: LatencyRow) -> bool:
        """Whether `row` was timed in these rounds."""
        return row.bundle in self.bundles and (row.batch, row.threads) == (self.batch, self.threads)
