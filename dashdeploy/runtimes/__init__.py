"""Inference engines, a module each, behind one `Runtime` interface, and the GPUs that they run on.

Imports `dashdeploy.artifacts` and `dashdeploy.errors`; inspect, export, bench and serve import it.
"""
