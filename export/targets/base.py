"""What a target is: an engine on a device, for which candidates are costed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.single_layer import random_weights, single_layer_model
from dashdeploy.runtimes.base import Call, Runtime, engine_nanoseconds
from dashdeploy.runtimes.names import TargetName
from dashdeploy.timing import Clock, Seconds, interleaved


class Target(ABC):
    """An engine on a device.

    Attributes:
        name: the engine's name.
        present: whether the device is here, so that candidates and whole models can be timed on it.
        precision: in what it computes a model in float32: ``fp32``, or ``bf16`` where the engine rounds by itself.
        patience: how many times as long as usual candidates are timed, for a slow engine.
    """

    name: TargetName
    present: ClassVar[bool]
    precision: str = "fp32"
    patience: float = 1.0

    @abstractmethod
    def describe(self) -> str:
        """Engine, version, device and threads, in one line."""

    @abstractmethod
    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model, on the target if it is present, else on this machine's CPU."""

    @abstractmethod
    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds of one call, by counting."""

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
        runtimes = [self.load(_serialized(lowering, spec, weight, bias)) for lowering in lowerings]
        outputs = [np.asarray(runtime.run(feeds)["y"], dtype=np.float64) for runtime in runtimes]
        scale = float(np.abs(outputs[0]).max()) or 1.0
        errors = [float(np.nan_to_num(np.abs(y - outputs[0]), nan=np.inf).max()) / scale for y in outputs]
        calls = {str(index): Call(runtime, feeds) for index, runtime in enumerate(runtimes)}
        return self._timed(calls, seconds), errors

    def time(self, layers: Sequence[tuple[Lowering, ConvSpec]], seconds: float) -> list[Seconds]:
        """Time single-layer models of different convolutions interleaved: seconds per round, in order.

        Args:
            layers: convolutions, each with its way to compute it.
            seconds: how long to time, all together.
        """
        generator = np.random.default_rng(0)
        calls = {}
        for index, (lowering, spec) in enumerate(layers):
            shape = (spec.batch, spec.in_channels, *spec.spatial)
            feeds = {"x": generator.standard_normal(shape).astype(spec.dtype)}
            runtime = self.load(_serialized(lowering, spec, *random_weights(spec)))
            calls[str(index)] = Call(runtime, feeds)
        return self._timed(calls, seconds)

    def clock(self) -> Clock:
        """What times a candidate."""
        return engine_nanoseconds

    def _timed(self, calls: Mapping[str, Call], seconds: float) -> list[Seconds]:
        patient = self.patience * seconds
        times = interleaved(calls, seconds=patient, min_rounds=7, warmup=0.1, clock=self.clock())
        return [times[name] for name in calls]


def roofline(flops: float, flops_per_second: float, moved: float, bytes_per_second: float) -> float:
    """Seconds by the roofline: arithmetic or memory traffic, whichever takes longer.

    Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
    """
    return max(flops / flops_per_second, moved / bytes_per_second)


def _serialized(lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None) -> bytes:
    return serialized(single_layer_model(lowering, spec, weight, bias))
