"""Targets: an engine on a device, on which candidates are measured or estimated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dashdeploy.export.conv_spec import ConvSpec
from dashdeploy.export.lowerings import Lowering
from dashdeploy.machine import cpu_model
from dashdeploy.runtimes import OnnxRuntime
from dashdeploy.timing import interleaved

_SECONDS_PER_CANDIDATE = 0.15
_FLOPS_PER_THREAD = 60e9
"""fp32 operations per second of one AVX2 core in ONNX Runtime's Conv (docs/benchmarks.md: 55 to 80)."""

_BYTES_PER_SECOND = 10e9
"""What one core moves through its caches, fitted to the measured FFT layers of docs/benchmarks.md."""


class OrtCpuTarget:
    """ONNX Runtime on this machine's CPU.

    Args:
        threads: threads within one operator.
    """

    name = "ort-cpu"

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self.threads = threads
        self._engine = f"ONNX Runtime {onnxruntime.__version__}"
        self._cpu = cpu_model()

    def describe(self) -> str:
        """Engine, version, device and threads."""
        return f"{self._engine}, {self._cpu}, {self.threads} thread(s)"

    def measure(
        self, models: Mapping[str, bytes], spec: ConvSpec
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Time single-layer models interleaved and compare their outputs with the first one's.

        Args:
            models: serialized models with one input ``x`` and one output ``y``, by label.
            spec: the convolution they compute.

        Returns:
            Median seconds, and the largest difference from the first model's output as a share of that
            output's largest magnitude; both by label.
        """
        x = np.random.default_rng(0).standard_normal((spec.batch, spec.in_channels, *spec.spatial))
        x = x.astype(spec.dtype)
        runtimes = {label: OnnxRuntime(model, threads=self.threads) for label, model in models.items()}
        outputs = {
            label: np.asarray(runtime.run({"x": x})["y"], dtype=np.float64)
            for label, runtime in runtimes.items()
        }
        reference = next(iter(outputs.values()))
        scale = float(np.abs(reference).max()) or 1.0
        errors = {
            label: float(np.nan_to_num(np.abs(y - reference), nan=np.inf).max()) / scale
            for label, y in outputs.items()
        }
        calls = {
            label: (lambda runtime=runtime: runtime.run({"x": x})) for label, runtime in runtimes.items()
        }
        times = interleaved(calls, seconds=_SECONDS_PER_CANDIDATE * len(calls), min_rounds=7, warmup=0.1)
        return {label: float(np.median(values)) for label, values in times.items()}, errors

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the roofline: arithmetic at the cores' rate or bytes at the memory's, the slower one.

        Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
        """
        arithmetic = 2 * lowering.multiply_adds(spec) / (_FLOPS_PER_THREAD * self.threads)
        return max(arithmetic, lowering.bytes_moved(spec) / (_BYTES_PER_SECOND * self.threads))
