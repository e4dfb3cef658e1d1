"""Inference engines, one small file each, behind the `Runtime` interface."""

from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino
from dashdeploy.runtimes.torchscript import TorchScript

__all__ = ["OnnxRuntime", "OpenVino", "Runtime", "TorchScript"]
