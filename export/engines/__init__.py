"""TensorRT engines: one thin builder for plain TensorRT and for TensorRT-RTX, which share their Python API.

Imports `dashdeploy.runtimes`, `planning` and `verify`; targets, deploy and the pipeline import it.
"""
