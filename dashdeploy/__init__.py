"""dashdeploy: from a labelled data set to a deployed, fast, task-specific convolutional network.

The public Python API, a page long. Every name is imported on first use, so that ``import dashdeploy`` costs nothing.

Example:
    The four stages, one call each::

        import dashdeploy

        run = dashdeploy.search("mnist1d", "resnet1d", out="run", kernel_sizes=(3, 7, 11))
        bundle = dashdeploy.compile(run, out="bundle")
        report = dashdeploy.bench.measure_latency([bundle])
        dashdeploy.serve(bundle, http_port=8000)

    The first two as a scikit-learn estimator::

        classifier = dashdeploy.DASHClassifier(random_state=0).fit(x, y)
        bundle = classifier.export("bundle")

    Or a model of your own, which was never searched::

        bundle = dashdeploy.compile(module, example_input, out="bundle")
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

# The stages are symbolic links of the repository; one look tells whether git made them.
if not Path(__file__).with_name("search").is_dir():
    from dashdeploy.checkout import refuse_missing_stages

    refuse_missing_stages(Path(__file__).parent)

# Python binds a subpackage to its name when it is first imported. These two are imported now and unbound again, so
# that ``dashdeploy.search`` and ``dashdeploy.serve`` are the functions, whatever is imported later.
for _stage in ("search", "serve"):
    importlib.import_module(f"dashdeploy.{_stage}")
    del globals()[_stage]

if TYPE_CHECKING:
    from dashdeploy import bench
    from dashdeploy.artifacts.bundle import Bundle
    from dashdeploy.backbones.run import Run
    from dashdeploy.data.catalog import load_task
    from dashdeploy.data.from_arrays import DataOptions
    from dashdeploy.data.readers.data_files import load_data
    from dashdeploy.data.readers.npz import load_npz
    from dashdeploy.data.task import Metric, Split, Task
    from dashdeploy.data.task_from import task_from
    from dashdeploy.errors import DashdeployError, GateError, InputError, MissingCapabilityError
    from dashdeploy.estimators.classifier import DASHClassifier as DASHClassifier
    from dashdeploy.estimators.regressor import DASHRegressor as DASHRegressor
    from dashdeploy.export.api import compile
    from dashdeploy.export.settings import ExportSettings
    from dashdeploy.runtimes.engines import load_engine
    from dashdeploy.search.api import search
    from dashdeploy.search.config.settings import SearchSettings
    from dashdeploy.serve.api import serve
    from dashdeploy.serve.settings import ServeSettings
    from dashdeploy.version import __version__

_HOMES = {
    "Bundle": "dashdeploy.artifacts.bundle",
    "DASHClassifier": "dashdeploy.estimators.classifier",
    "DASHRegressor": "dashdeploy.estimators.regressor",
    "DashdeployError": "dashdeploy.errors",
    "DataOptions": "dashdeploy.data.from_arrays",
    "ExportSettings": "dashdeploy.export.settings",
    "GateError": "dashdeploy.errors",
    "InputError": "dashdeploy.errors",
    "Metric": "dashdeploy.data.task",
    "MissingCapabilityError": "dashdeploy.errors",
    "Run": "dashdeploy.backbones.run",
    "SearchSettings": "dashdeploy.search.config.settings",
    "ServeSettings": "dashdeploy.serve.settings",
    "Split": "dashdeploy.data.task",
    "Task": "dashdeploy.data.task",
    "__version__": "dashdeploy.version",
    "compile": "dashdeploy.export.api",
    "load_data": "dashdeploy.data.readers.data_files",
    "load_engine": "dashdeploy.runtimes.engines",
    "load_npz": "dashdeploy.data.readers.npz",
    "load_task": "dashdeploy.data.catalog",
    "search": "dashdeploy.search.api",
    "serve": "dashdeploy.serve.api",
    "task_from": "dashdeploy.data.task_from",
}

_OF_EXTRAS = ("DASHClassifier", "DASHRegressor")
"""Not in ``__all__``: ``from dashdeploy import *`` needs no extra."""

__all__ = [
    "Bundle",
    "DashdeployError",
    "DataOptions",
    "ExportSettings",
    "GateError",
    "InputError",
    "Metric",
    "MissingCapabilityError",
    "Run",
    "SearchSettings",
    "ServeSettings",
    "Split",
    "Task",
    "__version__",
    "bench",
    "compile",
    "load_data",
    "load_engine",
    "load_npz",
    "load_task",
    "search",
    "serve",
    "task_from",
]


def __getattr__(name: str) -> object:
    if name == "bench":
        return importlib.import_module("dashdeploy.bench")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_OF_EXTRAS])
