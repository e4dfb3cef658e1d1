"""The peak memory of one variant of a bundle on one engine, in a process of its own; also what that process runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.common.peak_memory import own_peak_mib, peak_of_module
from dashdeploy.bench.latency.variants import Variant, variants_of

_CALLS = 2


def peak_mib(variant: Variant, batch: int, threads: int) -> float | None:
    """MiB at the peak of a process that loads the variant and calls it twice; see `peak_of_module`.

    The engine's libraries and Python itself are included: it is what a process that serves it needs.
    """
    asked = {
        "bundle": str(variant.bundle.path),
        "engine": variant.engine,
        "variant": variant.name,
        "batch": batch,
        "threads": threads,
    }
    return peak_of_module("dashdeploy.bench.latency.memory", [], stdin=json.dumps(asked))


def _main() -> None:
    asked = json.load(sys.stdin)
    bundle = Bundle.load(Path(asked["bundle"]), verify=False)
    variant = next(each for each in variants_of(bundle, asked["engine"]) if each.name == asked["variant"])
    runtime = variant.load(asked["threads"])
    generator = np.random.default_rng(0)
    feeds = {spec.name: spec.random(asked["batch"], generator) for spec in runtime.inputs}
    for _ in range(_CALLS):
        runtime.run(feeds)
    print(own_peak_mib())


if __name__ == "__main__":
    _main()
