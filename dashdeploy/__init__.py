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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashdeploy.bundle import Bundle
    from dashdeploy.errors import DashdeployError, GateError, InputError, MissingCapabilityError
    from dashdeploy.export.compile_api import compile
    from dashdeploy.export.settings import ExportSettings
    from dashdeploy.run_directory import Run
    from dashdeploy.search.api import search
    from dashdeploy.search.settings import SearchSettings
    from dashdeploy.tasks import load_npz, load_task

try:
    __version__ = version("dashdeploy")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "Bundle": "dashdeploy.bundle",
    "DashdeployError": "dashdeploy.errors",
    "ExportSettings": "dashdeploy.export.settings",
    "GateError": "dashdeploy.errors",
    "InputError": "dashdeploy.errors",
    "MissingCapabilityError": "dashdeploy.errors",
    "Run": "dashdeploy.run_directory",
    "SearchSettings": "dashdeploy.search.settings",
    "compile": "dashdeploy.export.compile_api",
    "load_npz": "dashdeploy.tasks",
    "load_task": "dashdeploy.tasks",
}

__all__ = [
    "Bundle",
    "DashdeployError",
    "ExportSettings",
    "GateError",
    "InputError",
    "MissingCapabilityError",
    "Run",
    "SearchSettings",
    "__version__",
    "compile",
    "load_npz",
    "load_task",
    "search",
]


def __getattr__(name: str) -> object:
    if name == "search":
        return importlib.import_module("dashdeploy.search")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
