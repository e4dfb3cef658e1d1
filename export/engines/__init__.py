"""TensorRT engines: one thin builder for plain TensorRT and for TensorRT-RTX, which share their Python API.

Imports `dashdeploy.runtimes`; targets and the pipeline import it.
"""
