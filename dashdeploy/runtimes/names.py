"""What engines and targets are called, apart from them, so that the command line needs none of their packages."""

from __future__ import annotations

from enum import StrEnum


class EngineName(StrEnum):
    """The engines that run what a bundle holds; see `dashdeploy.runtimes.engines`."""

    ORT_CPU = "ort-cpu"
    ORT_CUDA = "ort-cuda"
    ORT_WEB = "ort-web"
    OPENVINO = "openvino"
    MNN = "mnn"
    IREE = "iree"
    LITERT = "litert"
    AOTI = "aoti"
    EXECUTORCH = "executorch"
    TORCHSCRIPT = "torchscript"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"
    TORCH_CUDA = "torch-cuda"
    NATIVE = "native"
    OPENVINO_NATIVE = "openvino-native"


class TargetName(StrEnum):
    """The engines that a plan can be made for; see `dashdeploy.export.targets`. ``auto`` is the fastest one."""

    ORT_CPU = EngineName.ORT_CPU
    ORT_WEB = EngineName.ORT_WEB
    OPENVINO = EngineName.OPENVINO
    MNN = EngineName.MNN
    IREE = EngineName.IREE
    LITERT = EngineName.LITERT
    AOTI = EngineName.AOTI
    EXECUTORCH = EngineName.EXECUTORCH
    ORT_CUDA = EngineName.ORT_CUDA
    TENSORRT = EngineName.TENSORRT
    TENSORRT_RTX = EngineName.TENSORRT_RTX
    TORCH_CUDA = EngineName.TORCH_CUDA
    NATIVE = EngineName.NATIVE
    AUTO = "auto"
