"""Targets: an engine on a device, on which candidates are measured or estimated.

Imports `dashdeploy.runtimes`, `frontend.onnx_files`, `lowerings` and `engines`; planning and the pipeline import it.
"""
