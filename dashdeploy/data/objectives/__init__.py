"""Losses and metrics by name.

Imports the scaling of `dashdeploy.data.inputs`; tasks and the search import it.
"""
