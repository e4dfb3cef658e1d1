"""Targets: an engine on a device, on which candidates are measured or estimated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from dashdeploy.export.conv_spec import ConvSpec
from dashdeploy.export.lowerings import Lowering
from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.single_layer import random_weights, single_layer_model
from dashdeploy.machine import cpu_model
from dashdeploy.runtimes import OnnxRuntime
from dashdeploy.timing import Seconds, interleaved

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
        self, lowerings: Sequence[Lowering], spec: ConvSpec, seconds: float
    ) -> tuple[list[Seconds], list[float]]:
        """Time single-layer models interleaved and compare their outputs with the first one's.

        Args:
            lowerings: ways to compute the convolution.
            spec: the convolution.
            seconds: how long to time, all together.

        Returns:
            Seconds per round, and the largest difference from the first one's output as a share of that
            output's largest magnitude; both in the order of `lowerings`.
        """
        generator = np.random.default_rng(0)
        shape = (spec.batch, spec.in_channels, *spec.spatial)
        feeds = {"x": generator.standard_normal(shape).astype(spec.dtype)}
        weight, bias = random_weights(spec)
        runtimes = [
            OnnxRuntime(_serialized(lowering, spec, weight, bias), threads=self.threads)
            for lowering in lowerings
        ]
        outputs = [np.asarray(runtime.run(feeds)["y"], dtype=np.float64) for runtime in runtimes]
        scale = float(np.abs(outputs[0]).max()) or 1.0
        errors = [float(np.nan_to_num(np.abs(y - outputs[0]), nan=np.inf).max()) / scale for y in outputs]
        calls = {
            str(index): (lambda runtime=runtime: runtime.run(feeds)) for index, runtime in enumerate(runtimes)
        }
        times = interleaved(calls, seconds=seconds, min_rounds=7, warmup=0.1)
        return [times[name] for name in calls], errors

    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds by the roofline: arithmetic at the cores' rate or bytes at the memory's, the slower one.

        Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
        """
        arithmetic = 2 * lowering.multiply_adds(spec) / (_FLOPS_PER_THREAD * self.threads)
        return max(arithmetic, lowering.bytes_moved(spec) / (_BYTES_PER_SECOND * self.threads))


def _serialized(lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None) -> bytes:
    return bytes(ir.to_proto(single_layer_model(lowering, spec, weight, bias)).SerializeToString())
