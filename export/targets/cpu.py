"""The CPU of this machine, and the two engines on it that every installation plans for."""

from __future__ import annotations

from typing import ClassVar

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.base import Target, roofline
from dashdeploy.machine import cpu_model
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino

_FLOPS_PER_THREAD = 60e9
"""fp32 operations per second of one AVX2 core in ONNX Runtime's Conv (docs/benchmarks.md: 55 to 80)."""

_BYTES_PER_THREAD = 10e9
"""What one core moves through its caches per second, fitted to measured FFT layers (docs/decisions.md)."""


class CpuTarget(Target):
    """An engine on this machine's CPU.

    Args:
        threads: within one operator.
    """

    present: ClassVar[bool] = True

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the roofline of the cores."""
        return roofline(
            2 * lowering.multiply_adds(spec),
            _FLOPS_PER_THREAD * self.threads,
            lowering.bytes_moved(spec),
            _BYTES_PER_THREAD * self.threads,
        )


class OrtCpuTarget(CpuTarget):
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


class OpenVinoTarget(CpuTarget):
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
