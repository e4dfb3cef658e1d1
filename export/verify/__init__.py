"""Checks: parity, accuracy, the speed gate, and what export wrote, later and elsewhere.

Imports `dashdeploy.runtimes`, `frontend`, `planning`, and the folders whose files it checks; the pipeline imports it.
"""
