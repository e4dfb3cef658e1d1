"""dashdeploy: from a labelled data set to a deployed, fast, task-specific convolutional network.

The public Python API. Every name is imported on first use, so that ``import dashdeploy`` costs nothing.
The stages are the subpackages `dashdeploy.search`, `.export`, `.bench` and `.serve`.

Example:
    The four stages, one call each::

        from pathlib import Path

        import dashdeploy
        from dashdeploy.export.pipeline import export

        run = dashdeploy.search("mnist1d", "resnet1d", out="run", kernel_sizes=(3, 7, 11))
        bundle = export(Path("run"), Path("bundle"), dashdeploy.ExportSettings())

    Or a model of your own, which was never searched::

        bundle = dashdeploy.compile(module, example_input, out="bundle")
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dashdeploy.artifacts.bundle import Bundle
    from dashdeploy.artifacts.run import Run
    from dashdeploy.data.catalog import load_task
    from dashdeploy.data.options import DataOptions
    from dashdeploy.data.readers.data_files import load_data
    from dashdeploy.data.readers.npz import load_npz
    from dashdeploy.data.task import Metric, Split, Task
    from dashdeploy.errors import DashdeployError, GateError, InputError, MissingCapabilityError
    from dashdeploy.export.api import compile
    from dashdeploy.export.settings import ExportSettings
    from dashdeploy.search.config.settings import SearchSettings

# A package binds a subpackage to its name when that is first imported. It is imported here, before the function of
# the same name is defined below, so that ``dashdeploy.search`` stays the function.
import dashdeploy.search as _search_package  # noqa: F401

try:
    __version__ = version("dashdeploy")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "Bundle": "dashdeploy.artifacts.bundle",
    "DashdeployError": "dashdeploy.errors",
    "DataOptions": "dashdeploy.data.options",
    "ExportSettings": "dashdeploy.export.settings",
    "GateError": "dashdeploy.errors",
    "InputError": "dashdeploy.errors",
    "Metric": "dashdeploy.data.task",
    "MissingCapabilityError": "dashdeploy.errors",
    "Run": "dashdeploy.artifacts.run",
    "SearchSettings": "dashdeploy.search.config.settings",
    "Split": "dashdeploy.data.task",
    "Task": "dashdeploy.data.task",
    "compile": "dashdeploy.export.api",
    "load_data": "dashdeploy.data.readers.data_files",
    "load_npz": "dashdeploy.data.readers.npz",
    "load_task": "dashdeploy.data.catalog",
}

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
    "Split",
    "Task",
    "__version__",
    "compile",
    "load_data",
    "load_npz",
    "load_task",
    "search",
]


def search(*args: Any, **kwargs: Any) -> Run:  # noqa: ANN401 - as `dashdeploy.search.api.search` has them
    """See `dashdeploy.search.api.search`."""
    from dashdeploy.search.api import search as run_search

    return run_search(*args, **kwargs)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
