"""Export: compile a run or any ONNX model, choosing for every convolution the cheaper exact lowering."""

from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.plan import Plan
from dashdeploy.export.settings import ExportSettings

__all__ = ["ExportSettings", "Plan", "export", "plan_export"]
