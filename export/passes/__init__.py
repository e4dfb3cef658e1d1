"""Rewrites of an ONNX graph, one pass a module; `sequence` shows on one page which run, and in which order.

Imports `frontend`, `lowerings`, `planning` and `verify.batches`; `conversion` and the pipeline import `sequence`.
"""
