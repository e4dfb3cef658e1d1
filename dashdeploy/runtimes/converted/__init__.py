"""Engines that run files of their own, which an ONNX model is converted to: the converter and the runtime of each.

Imports what `dashdeploy.runtimes` may import; `dashdeploy.runtimes.onnx_engines` and `.engines` import it.
"""
