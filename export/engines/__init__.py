"""TensorRT engines: one thin builder for plain TensorRT and for TensorRT-RTX, which share their Python API.

Imports `dashdeploy.runtimes`, `frontend`, `planning`, `verify` and `passes.fold_constants`; targets, deploy and the
pipeline import it.
"""
