"""Checks: parity, accuracy, the speed gate, and what export wrote, later and elsewhere.

Imports `dashdeploy.runtimes`; the pipeline imports it.
"""
