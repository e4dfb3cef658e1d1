"""Writes the files of LiteRT (TensorFlow Lite): ONNX operators as LiteRT's, channels last, in its flatbuffer.

Imports what `dashdeploy.runtimes.converted` may import. `convert` calls the rest: `operators` and `convolutions`
write through `graph`, which keeps track of layouts, and that through `flatbuffer`.
"""
