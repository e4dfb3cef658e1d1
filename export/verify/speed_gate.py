"""The speed gate: a compiled model is timed against the all-direct one before it ships."""

from __future__ import annotations

import numpy as np

from dashdeploy.export.planning.plan import SpeedGate
from dashdeploy.runtimes.base import Runtime
from dashdeploy.timing import interleaved, ratio_of

_SECONDS = 1.5


def race(direct: Runtime, compiled: Runtime) -> SpeedGate:
    """Time both models interleaved, batch 1; the compiled one ships if its median ratio is above 1."""
    generator = np.random.default_rng(0)
    feeds = {spec.name: spec.random(1, generator) for spec in direct.inputs}
    times = interleaved(
        {"direct": lambda: direct.run(feeds), "compiled": lambda: compiled.run(feeds)},
        seconds=_SECONDS,
        min_rounds=20,
    )
    speedup = ratio_of(times["direct"], times["compiled"])
    return SpeedGate(
        direct_ms=float(np.median(times["direct"])) * 1e3,
        compiled_ms=float(np.median(times["compiled"])) * 1e3,
        speedup=speedup.median,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        shipped="compiled" if speedup.median > 1 else "direct",
    )
