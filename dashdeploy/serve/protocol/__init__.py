"""Requests and responses as tensors, whichever way they came: JSON, binary extension, types, shapes, classification.

Imports `dashdeploy.artifacts`; `http`, `grpc` and `scheduling` import it.
"""
