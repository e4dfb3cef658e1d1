"""The layer suite: single convolutions, direct against the lowering that the planner chooses.

The list is fixed, so that figures of different versions and machines can be compared. The plan is made first
(costs from the table on disk); then direct and chosen are timed again, interleaved, so that the choice and the
figure do not come from the same measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import exp, log

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from dashdeploy.export.conv_spec import ConvSpec
from dashdeploy.export.cost_table import CostTable
from dashdeploy.export.lowerings import Direct
from dashdeploy.export.planner import Planner
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets import OrtCpuTarget
from dashdeploy.machine import describe_machine
from dashdeploy.timing import ratio_of

SLOWER = 1 / 1.03
"""A speed-up below this is a layer that lost time by the planner's choice, beyond the noise."""


class LayerResult(BaseModel):
    """One convolution.

    Attributes:
        spec: the convolution.
        chosen: the planner's lowering.
        direct_ms: median milliseconds of the direct convolution.
        chosen_ms: median milliseconds of the chosen lowering.
        speedup: median over the rounds of direct / chosen.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: ConvSpec
    chosen: str
    direct_ms: float
    chosen_ms: float
    speedup: float
    low: float
    high: float


class LayersReport(BaseModel):
    """The suite's results.

    Attributes:
        device: engine, version, device and threads.
        machine: processor, cores, operating system.
        date: when it was measured, UTC, ISO 8601.
        results: one per convolution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    machine: str
    date: str
    results: tuple[LayerResult, ...]

    def geometric_mean(self, rank: int) -> float | None:
        """Of the speed-ups over the convolutions with `rank` spatial axes; None if there are none."""
        logs = [log(result.speedup) for result in self.results if result.spec.rank == rank]
        return exp(sum(logs) / len(logs)) if logs else None

    def subsets(self) -> dict[str, float]:
        """The geometric mean of every subset of equal dimensions, channels, batch and, in 2-D, size."""
        logs: dict[str, list[float]] = {}
        for result in self.results:
            spec = result.spec
            size = "" if spec.rank == 1 else f", {'x'.join(map(str, spec.spatial))}"
            name = f"{spec.rank}-D, {spec.in_channels} channels{size}, batch {spec.batch}"
            logs.setdefault(name, []).append(log(result.speedup))
        return {name: exp(sum(values) / len(values)) for name, values in logs.items()}

    @property
    def slower(self) -> int:
        """How many chosen lowerings are slower than direct by more than 3 %."""
        return sum(result.speedup < SLOWER for result in self.results)

    def table(self) -> Table:
        """The report for a terminal."""
        means = ", ".join(
            f"{rank}-D {mean:.2f}" for rank in (1, 2) if (mean := self.geometric_mean(rank)) is not None
        )
        lines = [
            f"geometric mean of direct / chosen: {means}; slower than direct by more than 3 %: {self.slower}",
            *(f"  {name}: {mean:.2f}" for name, mean in self.subsets().items()),
            self.device,
            self.machine,
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


def layer_suite(
    rank: int | None = None, *, batches: Sequence[int] = (1, 8), channels: Sequence[int] = (64, 128, 256)
) -> list[ConvSpec]:
    """The fixed list, or the part of it with these `channels`.

    One dimension: C in {64, 128, 256}, N = 1000, K = {3, 7, 11, 15, 19} x D = {1, 3, 7, 15}, each batch size.
    Two: C in {64, 128}, 32 x 32 and 64 x 64, K = {3, 5, 7, 9} x D = {1, 3, 7}, batch 1.
    """
    suite: list[ConvSpec] = []
    if rank in (None, 1):
        suite += [
            _same(width, (1000,), k, d, batch)
            for batch in batches
            for width in (64, 128, 256)
            if width in channels
            for k in (3, 7, 11, 15, 19)
            for d in (1, 3, 7, 15)
        ]
    if rank in (None, 2):
        suite += [
            _same(width, (size, size), k, d, 1)
            for width in (64, 128)
            if width in channels
            for size in (32, 64)
            for k in (3, 5, 7, 9)
            for d in (1, 3, 7)
        ]
    return suite


def _same(channels: int, spatial: tuple[int, ...], k: int, d: int, batch: int) -> ConvSpec:
    rank, field = len(spatial), d * (k - 1)
    return ConvSpec(
        in_channels=channels,
        out_channels=channels,
        spatial=spatial,
        kernel=(k,) * rank,
        strides=(1,) * rank,
        dilations=(d,) * rank,
        pads_begin=(field // 2,) * rank,
        pads_end=(field - field // 2,) * rank,
        batch=batch,
    )


def measure_layers(
    specs: Sequence[ConvSpec],
    *,
    threads: int = 1,
    seconds: float = 0.5,
    table: CostTable | None = None,
    progress: Callable[[str], None] | None = None,
) -> LayersReport:
    """Plan every convolution and time the choice against direct.

    Args:
        specs: the convolutions, such as `layer_suite` gives.
        threads: threads within one operator.
        seconds: how long to time each, both variants together.
        table: costs known from earlier; None takes the user's.
        progress: told in one line what is being done.
    """
    say = progress or (lambda _message: None)
    target = OrtCpuTarget(threads)
    costs = table or CostTable(target.describe())
    planner = Planner(ExportSettings(threads=threads), target, costs, say)
    results = []
    for number, spec in enumerate(specs, start=1):
        place = f"layer {number} of {len(specs)}"
        plan, lowering = planner.plan_layer(place, spec, place)
        say(f"timing {place}: {spec}, {plan.chosen}")
        # Where direct is chosen it runs against itself, and the figure shows the noise.
        (direct_times, chosen_times), _ = target.measure([Direct(), lowering], spec, seconds)
        ratio = ratio_of(direct_times, chosen_times)
        results.append(
            LayerResult(
                spec=spec,
                chosen=plan.chosen,
                direct_ms=float(np.median(direct_times)) * 1e3,
                chosen_ms=float(np.median(chosen_times)) * 1e3,
                speedup=ratio.median,
                low=ratio.low,
                high=ratio.high,
            )
        )
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return LayersReport(
        device=target.describe(), machine=describe_machine(), date=date, results=tuple(results)
    )
