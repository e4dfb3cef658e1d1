"""Rewrites of an ONNX graph, one pass a module.

Imports `frontend`'s graph reading and `lowerings`; the pipeline runs them.
"""
