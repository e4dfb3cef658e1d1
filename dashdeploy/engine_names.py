"""What the engines are called, apart from them, so that the command line knows the names without their packages."""

from typing import Literal

EngineName = Literal["ort-cpu", "ort-cuda", "openvino", "torchscript", "tensorrt", "tensorrt-rtx"]
"""The values of ``--engine``; see `dashdeploy.runtimes.engines`."""
