"""An ONNX model as a torch module of ordinary operators, which engines that compile torch programs are given.

Imports torch, onnx and `dashdeploy.errors`; `dashdeploy.runtimes.converted` imports it, in a process of its own.
"""
