"""Inference engines, a module each, behind one `Runtime` interface.

Imports `dashdeploy.artifacts`; export, bench and serve import it.
"""
