"""Torch as an engine: its programs and its TorchScript files, on the CPU or on a GPU.

Imports what `dashdeploy.runtimes` may import; `dashdeploy.runtimes.engines`, export and bench import it.
"""
