"""Example inputs for any model: which of its dynamic axes are the batch, and how long the others must be.

A dynamic first axis is the batch, and so is every axis of the same name. Recurrent states have it second: where an
input begins with a fixed axis and another one with a dynamic axis, the second axis of the former is the batch, too.
All other dynamic axes are lengths. The least one that the model runs on is found by asking it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array, Runtime

Run = Callable[[Mapping[str, Array]], object]

_LONGEST = 2**16
"""The longest length that is tried."""

_MOST_NUMBERS = 2**24
"""Of one input: several dynamic axes have the same length, and a square of the longest fills a machine."""


@dataclass(frozen=True)
class ExampleInputs:
    """Makes inputs that a model runs on.

    Attributes:
        inputs: the model's inputs.
        length: of every dynamic axis that is not the batch; None if there is none.
    """

    inputs: tuple[TensorSpec, ...]
    length: int | None = None

    @classmethod
    def of(cls, run: Run, inputs: Sequence[TensorSpec]) -> ExampleInputs:
        """With the least length that the model runs on, or 1 if it runs on none up to 65536 or 2^24 numbers."""
        free = cls(tuple(inputs))
        if not any(free.length_axes(spec) for spec in inputs):
            return free
        if free.with_length(1).runs(run, 1):
            return free.with_length(1)
        high = 2
        while free._can_have(high) and not free.with_length(high).runs(run, 1):
            high *= 2
        if not free._can_have(high):
            return free.with_length(1)
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if free.with_length(middle).runs(run, 1) else (middle, high)
        return free.with_length(high)

    def with_length(self, length: int) -> ExampleInputs:
        """The same with another length."""
        return ExampleInputs(self.inputs, length)

    def feeds(self, batch: int, generator: np.random.Generator) -> dict[str, Array]:
        """Random inputs by name; see `TensorSpec.random`."""
        return {spec.name: self._fixed(spec, batch).random(batch, generator) for spec in self.inputs}

    def runs(self, run: Run, batch: int) -> bool:
        """Whether the model takes inputs of this batch."""
        try:
            run(self.feeds(batch, np.random.default_rng(0)))
        except Exception:  # every engine raises classes of its own
            return False
        return True

    @classmethod
    def to_time(cls, runtime: Runtime, samples: Mapping[str, Array] | None, batch: int) -> dict[str, Array]:
        """What a model is timed on: the first real inputs if there are any, otherwise random ones.

        Args:
            runtime: the model.
            samples: real inputs by name; None or empty where there are none.
            batch: samples per call, unless the model takes one batch only.
        """
        if samples:
            examples = cls(runtime.inputs)
            return examples.first(samples, examples.fixed_batch or batch)
        return cls.of(runtime.run, runtime.inputs).feeds(batch, np.random.default_rng(0))

    @property
    def fixed_batch(self) -> int | None:
        """The one batch of a model whose axes are all fixed, or all lengths: the first input's first axis."""
        if self._batch_names or not self.inputs or not self.inputs[0].shape:
            return None
        first = self.inputs[0].shape[0]
        return first if isinstance(first, int) else None

    def length_axes(self, spec: TensorSpec) -> list[int]:
        """The axes of an input that are lengths."""
        batch = self._batch_axes(spec)
        return [i for i, axis in enumerate(spec.shape) if isinstance(axis, str) and i not in batch]

    def batch_axis(self, spec: TensorSpec) -> int | None:
        """The axis of an input that counts samples; None if it has none, such as a sampling rate."""
        if self._batch_names:
            return min(self._batch_axes(spec), default=None)
        alike = len({each.shape[0] for each in self.inputs if each.shape}) == 1
        return 0 if alike and spec.shape else None

    def first(self, feeds: Mapping[str, Array], count: int) -> dict[str, Array]:
        """The first samples of some inputs; inputs without a batch are as they are."""
        taken = {}
        for spec in self.inputs:
            array, axis = feeds[spec.name], self.batch_axis(spec)
            taken[spec.name] = (
                array if axis is None else array.take(range(min(count, array.shape[axis])), axis)
            )
        return taken

    @property
    def _batch_names(self) -> set[str]:
        return {spec.shape[0] for spec in self.inputs if spec.shape and isinstance(spec.shape[0], str)}

    def _batch_axes(self, spec: TensorSpec) -> set[int]:
        names = self._batch_names
        axes = {i for i, axis in enumerate(spec.shape) if axis in names}
        if names and not axes and len(spec.shape) > 2 and isinstance(spec.shape[1], str):
            axes.add(1)
        return axes

    def _can_have(self, length: int) -> bool:
        """Whether inputs of this length, batch 1, are small enough to be tried."""
        shapes = (self.with_length(length)._fixed(spec, 1).shape for spec in self.inputs)
        most = max(prod(axis for axis in shape if isinstance(axis, int)) for shape in shapes)
        return length <= _LONGEST and most <= _MOST_NUMBERS

    def _fixed(self, spec: TensorSpec, batch: int) -> TensorSpec:
        at_batch, length = self._batch_axes(spec), 1 if self.length is None else self.length
        shape = tuple(
            axis if isinstance(axis, int) else batch if i in at_batch else length
            for i, axis in enumerate(spec.shape)
        )
        return spec.model_copy(update={"shape": shape})
