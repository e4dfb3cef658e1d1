"""The engines that run on this machine's CPU."""

from __future__ import annotations

from typing import ClassVar

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.base import Target
from dashdeploy.machine import cpu_model
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino

_FLOPS_PER_THREAD = 90e9
"""fp32 operations per second of one AVX-512 core, in ONNX Runtime's Conv and in its products of small matrices."""

_BYTES_PER_THREAD = 30e9
"""What one core moves through its caches per second, fitted to measured layers (docs/decisions.md)."""

_SECONDS_PER_OPERATOR = 5e-6
"""What an operator costs beside its arithmetic and its memory traffic."""


class _CpuTarget(Target):
    present: ClassVar[bool] = True

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds of arithmetic, memory traffic and operators: they follow each other, so they add up."""
        arithmetic = 2 * lowering.multiply_adds(spec) / _FLOPS_PER_THREAD
        traffic = lowering.bytes_moved(spec) / _BYTES_PER_THREAD
        return (arithmetic + traffic) / self.threads + lowering.operators(spec) * _SECONDS_PER_OPERATOR


class OrtCpuTarget(_CpuTarget):
    """ONNX Runtime's CPU execution provider.

    Args:
        threads: threads within one operator.

    Raises:
        MissingCapabilityError: onnxruntime is not installed.
    """

    name = TargetName.ORT_CPU

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._version = OnnxRuntime.engine_version()

    def describe(self) -> str:
        """Engine, version, device and threads."""
        return f"ONNX Runtime {self._version}, {cpu_model()}, {self.threads} thread(s)"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model."""
        return OnnxRuntime(model, threads=self.threads)


class OpenVinoTarget(_CpuTarget):
    """OpenVINO's CPU plugin.

    Args:
        threads: threads of inference.

    Raises:
        MissingCapabilityError: openvino is not installed.
    """

    name = TargetName.OPENVINO

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._version = OpenVino.engine_version()

    def describe(self) -> str:
        """Engine, version, device and threads."""
        return f"OpenVINO {self._version}, {cpu_model()}, {self.threads} thread(s)"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model."""
        return OpenVino(model, threads=self.threads)
