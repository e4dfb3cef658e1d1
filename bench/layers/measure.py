"""The layer suite: single convolutions, direct against the lowering that the planner chooses.

The list is fixed, so that figures of different versions and machines can be compared. The plan is made first
(costs from the table on disk); then direct and chosen are timed again, interleaved, so that the choice and the
figure do not come from the same measurement.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.common.checks import check_seconds
from dashdeploy.bench.layers.report import LayerResult, LayersReport
from dashdeploy.errors import InputError
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.planning.planner import Planner
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.cpu import OrtCpuTarget
from dashdeploy.progress import Progress, silent
from dashdeploy.timing import ratio_of


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
    cache: TuningCache | None = None,
    progress: Progress = silent,
) -> LayersReport:
    """Plan every convolution and time the choice against direct.

    Args:
        specs: the convolutions, such as `layer_suite` gives.
        threads: threads within one operator.
        seconds: how long to time each, both variants together.
        cache: costs known from earlier; None takes the user's.
        progress: told in one line what is being done.

    Raises:
        InputError: the list has no convolution, or `seconds` leaves no time to measure.
    """
    check_seconds(seconds)
    if not specs:
        raise InputError("the list has no such convolution; it has 64, 128 and, in 1-D, 256 channels")
    target = OrtCpuTarget(threads)
    costs = cache or TuningCache(target.describe())
    planner = Planner(ExportSettings(threads=threads), target, costs, progress)
    results = []
    for number, spec in enumerate(specs, start=1):
        place = f"layer {number} of {len(specs)}"
        plan, lowering = planner.plan_layer(place, spec, place)
        progress(f"timing {place}: {spec}, {plan.chosen}")
        # Where direct is chosen it runs against itself, and the figure shows the noise.
        (direct_times, chosen_times), _ = target.measure([Direct(), lowering], spec, seconds)
        ratio = ratio_of(direct_times, chosen_times)
        results.append(
            LayerResult(
                spec=spec,
                chosen=plan.chosen,
                reason=plan.reason,
                direct_ms=float(np.median(direct_times)) * 1e3,
                chosen_ms=float(np.median(chosen_times)) * 1e3,
                speedup=ratio.median,
                low=ratio.low,
                high=ratio.high,
            )
        )
    return LayersReport(
        provenance=Provenance.now(),
        device=target.describe(),
        threads=threads,
        seconds=seconds,
        results=tuple(results),
    )
