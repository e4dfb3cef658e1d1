"""What a target is: an engine on a device, for which candidates are costed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.lowerings.base import Lowering, ProductForm, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.targets.single_layer import random_weights, single_layer_model
from dashdeploy.runtimes.base import Array, Call, Runtime, engine_clock
from dashdeploy.runtimes.names import TargetName
from dashdeploy.timing import Clock, Seconds, interleaved

LAYER_TOLERANCE = 5e-6
"""Largest difference from direct, as a share of the largest output, with which a candidate may win (fp32).

Half of what parity allows the whole model: the errors of layers that follow each other add up.
"""

BF16_LAYER_TOLERANCE = 2e-2
"""The same where the engine computes in bfloat16."""

_ROUNDS, _SLOW_ROUNDS, _SLOW = 7, 3, 0.1
"""Rounds at least; fewer of a model that takes so many seconds, whose times vary less."""


@dataclass(frozen=True)
class _Turn:
    """Seconds per round of the first of several models and of another one, and how far their outputs differ."""

    first: Seconds
    other: Seconds
    error: float


class Target(ABC):
    """An engine on a device.

    Attributes:
        name: the engine's name.
        present: whether the device is here, so that candidates and whole models can be timed on it.
        precision: in what it computes a model in float32: ``fp32``, or ``bf16`` where the engine rounds by itself.
        patience: how many times as long as usual candidates are timed, for a slow engine.
        variants: how many variants of a lowering are costed: the best one is nearly always among the four with the
            least estimates, and fewer are tried where a compiler takes long over each.
        runs_modules: whether whole networks are torch modules there, so that only what is a run can be compiled.
        fuses_groups: whether convolutions that read the same tensor may become one.
        product_forms: other forms of the products with the taps that the engine may run faster.
        leaves_out: lowerings that are never the fastest there, and are not measured.
        slow_at_relu: whether the engine takes longer for a Relu than for a Max with zero.
    """

    name: TargetName
    present: ClassVar[bool]
    precision: str = "fp32"
    patience: float = 1.0
    variants: int = 4
    runs_modules: ClassVar[bool] = False
    fuses_groups: ClassVar[bool] = True
    product_forms: tuple[ProductForm, ...] = ()
    leaves_out: frozenset[type[Lowering]] = frozenset({CooleyTukey})
    slow_at_relu: bool = False

    def forms_for(self, spec: ConvSpec) -> Sequence[ProductForm]:  # noqa: ARG002
        """Of `product_forms`, those that are worth measuring for a convolution."""
        return self.product_forms

    @abstractmethod
    def describe(self) -> str:
        """Engine, version, device and threads, in one line."""

    @property
    def tolerance(self) -> float:
        """The largest difference from direct with which a candidate may win."""
        return BF16_LAYER_TOLERANCE if self.precision == "bf16" else LAYER_TOLERANCE

    @property
    def folds_constants(self) -> bool:
        """Whether the engine computes operators on constants once, when it loads a model.

        TensorRT keeps them in its engines; every other engine that was asked computes them.
        """
        return self.name not in (TargetName.TENSORRT, TargetName.TENSORRT_RTX)

    def for_candidates(self) -> Target:
        """The target where candidates are costed: this one, or the same device with one thread.

        A layer alone occupies several threads worse than a network does, and by the wall clock, so its times say
        little about the network's. The whole model is timed on this target nevertheless.
        """
        return self

    @abstractmethod
    def load(self, model: bytes) -> Runtime:
        """Load a serialized ONNX model, on the target if it is present, else on this machine's CPU."""

    def load_layer(
        self, lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None
    ) -> Runtime:
        """Load one convolution, from ``x`` to ``y``, as a lowering computes it."""
        return self.load(serialized(single_layer_model(lowering, spec, weight, bias)))

    def load_module(
        self,
        module: Any,  # noqa: ANN401 - a torch module; torch is imported late
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> Runtime:
        """Load a torch module, where `runs_modules`."""
        raise NotImplementedError(f"{self.name} runs no torch modules")

    @abstractmethod
    def estimate(self, lowering: Lowering, spec: ConvSpec) -> float:
        """Seconds of one call, by counting."""

    def forget_models(self) -> None:  # noqa: B027 - most engines keep nothing
        """Let go of the memory of models that were loaded before, as far as nobody uses them any more."""

    def measure(
        self, lowerings: Sequence[Lowering], spec: ConvSpec, seconds: float
    ) -> tuple[list[Seconds], list[float]]:
        """Time single-layer models, each by turns with the first one, and compare their outputs with its.

        Two of them are loaded at a time, whose calls alternate. What the machine did in the meantime tells on both,
        so the times of each are scaled to the first one's median over all turns. One that differs by more than
        `LAYER_TOLERANCE` cannot be chosen, and is timed once.

        Args:
            lowerings: ways to compute the convolution.
            spec: the convolution.
            seconds: how long to time, all together.

        Returns:
            Seconds per round, and the largest difference from the first one's output as a share of that
            output's largest magnitude; both in the order of `lowerings`. One that needs more memory than it may
            have takes for ever.

        Raises:
            MemoryError: the first one does.
        """
        feeds = {"x": _random_input(spec)}
        weights = random_weights(spec)

        def load(lowering: Lowering) -> Runtime:
            return self.load_layer(lowering, spec, *weights)

        def alternated(lowering: Lowering, seconds: float) -> _Turn:
            # All that is loaded here is gone when this ends, and its memory with it.
            self.forget_models()
            first, other = load(lowerings[0]), load(lowering)
            expected = first.run(feeds)["y"]
            try:
                error = _largest_difference(other.run(feeds)["y"], expected)
                times = self._alternate(first, other, feeds, seconds if error <= self.tolerance else 0.0)
            except MemoryError:
                return _Turn(self._alternate(first, first, feeds, seconds / 2)[0], np.full(1, np.inf), np.inf)
            return _Turn(*times, error)

        each = seconds / len(lowerings)
        turns = [alternated(lowering, 2 * each) for lowering in lowerings[1:]]
        if not turns:
            turns = [alternated(lowerings[0], each)]
        medians = [float(np.median(turn.first)) for turn in turns]
        scales = [float(np.median(medians)) / median for median in medians]
        others = [scale * turn.other for scale, turn in zip(scales, turns, strict=True)]
        times = [scales[0] * turns[0].first, *others][: len(lowerings)]
        return times, [0.0, *(turn.error for turn in turns)][: len(lowerings)]

    def time(self, layers: Sequence[tuple[Lowering, ConvSpec]], seconds: float) -> list[Seconds]:
        """Time single-layer models of different convolutions interleaved: seconds per round, in order.

        Args:
            layers: convolutions, each with its way to compute it.
            seconds: how long to time, all together.
        """
        calls = {}
        self.forget_models()
        for index, (lowering, spec) in enumerate(layers):
            feeds = {"x": _random_input(spec)}
            runtime = self.load_layer(lowering, spec, *random_weights(spec))
            calls[str(index)] = Call(runtime, feeds)
        return self._timed(calls, seconds)

    def _alternate(
        self, first: Runtime, other: Runtime, feeds: Mapping[str, Array], seconds: float
    ) -> tuple[Seconds, Seconds]:
        """Seconds per round of two models; of slow ones there are fewer rounds, and one round if time is short."""
        calls = {"first": Call(first, feeds), "other": Call(other, feeds)}
        slow = engine_clock(calls["other"]) * 1e-9 > _SLOW
        rounds = 1 if not seconds else _SLOW_ROUNDS if slow else _ROUNDS
        times = interleaved(
            calls,
            seconds=self.patience * seconds,
            min_rounds=rounds,
            warmup=0.1 if seconds else 0.0,
            clock=self.clock(),
        )
        return times["first"], times["other"]

    def clock(self) -> Clock:
        """What times a candidate."""
        return engine_clock

    def _timed(self, calls: Mapping[str, Call], seconds: float) -> list[Seconds]:
        patient = self.patience * seconds
        times = interleaved(calls, seconds=patient, min_rounds=7, warmup=0.1, clock=self.clock())
        return [times[name] for name in calls]


def roofline(flops: float, flops_per_second: float, moved: float, bytes_per_second: float) -> float:
    """Seconds by the roofline: arithmetic or memory traffic, whichever takes longer.

    Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009.
    """
    return max(flops / flops_per_second, moved / bytes_per_second)


def _random_input(spec: ConvSpec) -> Array:
    generator = np.random.default_rng(0)
    shape = (spec.batch, spec.in_channels, *spec.spatial)
    precise = np.float64 if spec.dtype == "float64" else np.float32
    return generator.standard_normal(shape, dtype=precise).astype(spec.dtype, copy=False)


def _largest_difference(got: Array, expected: Array) -> float:
    """As a share of the largest magnitude expected; infinite where something is not a number."""
    largest, scale = 0.0, 0.0
    for mine, theirs in zip(np.moveaxis(got, 1, 0), np.moveaxis(expected, 1, 0), strict=True):
        a, b = mine.astype(np.float64), theirs.astype(np.float64)  # channel by channel: outputs may be large
        largest = max(largest, float(np.nan_to_num(np.abs(a - b), nan=np.inf).max(initial=0.0)))
        scale = max(scale, float(np.abs(b).max(initial=0.0)))
    return largest / (scale or 1.0)
