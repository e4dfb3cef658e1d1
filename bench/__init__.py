"""Measurement: how fast a bundle, a layer, a network, a search or a server is. A folder for each command.

May import every stage; only `cli` imports it.

The functions of `__all__` are public, under the names here: `measure_latency` times bundles, `measure_networks` the
networks of a fixed list, `measure_engines` a model in every engine, `measure_layers` single convolutions,
`measure_search_cost` a step of the search, `measure_serving` a server, `measure_loadgen` what MLPerf LoadGen makes
of either, and `measure_accuracy` trains tasks with several seeds. `load_result` reads what one of them wrote as
JSON; `compare` puts two results beside each other. Each is imported on first use.

Example:
    Time a bundle::

        from pathlib import Path

        import dashdeploy.bench
        from dashdeploy import Bundle

        print(dashdeploy.bench.measure_latency(Bundle.load(Path("bundle"))).text())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashdeploy.bench.accuracy.measure import measure_accuracy
    from dashdeploy.bench.engines.measure import measure_engines
    from dashdeploy.bench.latency.measure import measure_latency
    from dashdeploy.bench.layers.measure import measure_layers
    from dashdeploy.bench.loadgen.measure import measure_loadgen
    from dashdeploy.bench.networks.measure import measure_networks
    from dashdeploy.bench.search_cost.measure import measure_search_cost
    from dashdeploy.bench.serve.measure import measure_serving
    from dashdeploy.bench.show.comparison import compare
    from dashdeploy.bench.show.results import load_result

_HOMES = {
    "compare": "dashdeploy.bench.show.comparison",
    "load_result": "dashdeploy.bench.show.results",
    "measure_accuracy": "dashdeploy.bench.accuracy.measure",
    "measure_engines": "dashdeploy.bench.engines.measure",
    "measure_latency": "dashdeploy.bench.latency.measure",
    "measure_layers": "dashdeploy.bench.layers.measure",
    "measure_loadgen": "dashdeploy.bench.loadgen.measure",
    "measure_networks": "dashdeploy.bench.networks.measure",
    "measure_search_cost": "dashdeploy.bench.search_cost.measure",
    "measure_serving": "dashdeploy.bench.serve.measure",
}

__all__ = [
    "compare",
    "load_result",
    "measure_accuracy",
    "measure_engines",
    "measure_latency",
    "measure_layers",
    "measure_loadgen",
    "measure_networks",
    "measure_search_cost",
    "measure_serving",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
