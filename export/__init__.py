"""Export: compile a run or any ONNX model, choosing for every convolution the cheaper exact lowering.

Every name is imported on first use: whoever reads a plan or a result needs neither torch nor ONNX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashdeploy.export.pipeline import export, plan_export
    from dashdeploy.export.plan import Plan
    from dashdeploy.export.settings import ExportSettings

_HOMES = {
    "ExportSettings": "dashdeploy.export.settings",
    "Plan": "dashdeploy.export.plan",
    "export": "dashdeploy.export.pipeline",
    "plan_export": "dashdeploy.export.pipeline",
}

__all__ = ["ExportSettings", "Plan", "export", "plan_export"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
