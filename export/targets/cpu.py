"""The CPU of this machine, and the two engines on it that every installation plans for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dashdeploy.export.lowerings.base import Lowering, ProductForm
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.targets.base import Target
from dashdeploy.machine import cpu_model, free_memory
from dashdeploy.runtimes.base import Runtime, processor_clock
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime, renew_shared_arena
from dashdeploy.runtimes.openvino import OpenVino
from dashdeploy.timing import Clock

_FLOPS_PER_THREAD = 90e9
"""fp32 operations per second of one AVX-512 core, in ONNX Runtime's Conv and in its products of small matrices."""

_BYTES_PER_THREAD = 30e9
"""What one core moves through its caches per second, fitted to measured layers (docs/decisions.md)."""

COLUMNS = 16
"""Columns of a product that the kernels compute at a time, whether there are as many or not."""

_SECONDS_PER_OPERATOR = 5e-6
"""What an operator costs beside its arithmetic and its memory traffic."""


class CpuTarget(Target):
    """An engine on this machine's CPU.

    Args:
        threads: within one operator.
    """

    present: ClassVar[bool] = True

    def __init__(self, threads: int, memory: int | None = None) -> None:
        self.threads, self.memory = threads, memory

    def clock(self) -> Clock:
        """The processor's time where one thread runs, which holds on a machine that is shared."""
        return processor_clock if self.threads == 1 else super().clock()

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds of arithmetic, memory traffic and operators: they follow each other, so they add up."""
        computed = lowering.multiply_adds(spec) + lowering.idle_multiply_adds(spec, COLUMNS)
        arithmetic = 2 * computed / _FLOPS_PER_THREAD
        traffic = lowering.bytes_moved(spec) / _BYTES_PER_THREAD
        return (arithmetic + traffic) / self.threads + lowering.operators(spec) * _SECONDS_PER_OPERATOR


class OrtCpuTarget(CpuTarget):
    """ONNX Runtime's CPU execution provider.

    Args:
        threads: threads within one operator.
        memory: the most bytes for the values in between of all models that are loaded; None is half of what is free.

    Raises:
        MissingCapabilityError: onnxruntime is not installed.
    """

    name = TargetName.ORT_CPU
    product_forms: tuple[ProductForm, ...] = ("grouped", "taps first")

    def __init__(self, threads: int, memory: int | None = None) -> None:
        free = free_memory()
        super().__init__(threads, free // 2 if memory is None and free is not None else memory)
        self._version = OnnxRuntime.engine_version()
        self.forget_models()

    def for_candidates(self) -> OrtCpuTarget:
        """The same with one thread."""
        return self if self.threads == 1 else OrtCpuTarget(1, self.memory)

    def forms_for(self, spec: ConvSpec) -> Sequence[ProductForm]:
        """Taps come first where the output channels do not fill blocks of columns; else that is slower."""
        whole = spec.out_channels // spec.groups % COLUMNS == 0
        return [form for form in self.product_forms if not (whole and form == "taps first")]

    def forget_models(self) -> None:
        """Give the models that are loaded next memory of their own, which they share."""
        renew_shared_arena(self.memory)

    def describe(self) -> str:
        """Engine, version, device and threads."""
        return f"ONNX Runtime {self._version}, {cpu_model()}, {self.threads} thread(s)"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model."""
        return OnnxRuntime(model, threads=self.threads, arena="shared")


class OpenVinoTarget(CpuTarget):
    """OpenVINO's CPU plugin.

    Args:
        threads: threads of inference.
        memory: not heeded, since OpenVINO has no such bound.

    Raises:
        MissingCapabilityError: openvino is not installed.
    """

    name = TargetName.OPENVINO

    def __init__(self, threads: int, memory: int | None = None) -> None:
        super().__init__(threads, memory)
        self._version = OpenVino.engine_version()

    def for_candidates(self) -> OpenVinoTarget:
        """The same with one thread."""
        return self if self.threads == 1 else OpenVinoTarget(1)

    def describe(self) -> str:
        """Engine, version, device and threads."""
        return f"OpenVINO {self._version}, {cpu_model()}, {self.threads} thread(s)"

    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model."""
        return OpenVino(model, threads=self.threads)
