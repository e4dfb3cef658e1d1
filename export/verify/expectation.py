"""What a reference says on sets of inputs, and how far it is from itself: its own rounding noise.

A model in floating point says something slightly else when its inputs move by their last bit, or when an engine forms
its sums in another order. A compiled model cannot be asked to be nearer to the reference than the reference is to
itself, so that noise is measured, but only where a model does not agree without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.export.frontend.source import Reference
from dashdeploy.export.verify.batches import run_on_all
from dashdeploy.export.verify.parity_report import Parity, compare
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs

Feeds = Mapping[str, Array]

_MOVES = 2
"""How often the inputs are moved, each number up or down by chance."""

_RANDOM = 1e-3
"""From which difference of two runs on the same input a reference is random, not merely noisy."""


@dataclass
class Expectation:
    """A reference's outputs on sets of inputs.

    Attributes:
        reference: computes them.
        name: what computes them, in words.
        inputs: the model's inputs.
        sets: labelled inputs.
        unoptimized: the same reference without its engine's rewriting; None if there is none.
        outputs: the reference's outputs, set by set.
    """

    reference: Reference
    name: str
    inputs: tuple[TensorSpec, ...]
    sets: Sequence[tuple[str, Feeds]]
    unoptimized: Callable[[], Reference] | None = None
    outputs: list[dict[str, Array]] = field(init=False)
    _noise: list[dict[str, Array]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.outputs = [run_on_all(self.reference, self.inputs, feeds) for _, feeds in self.sets]

    @property
    def lengths(self) -> list[int]:
        """Of the dynamic axes that are not the batch, in these sets."""
        axes = ExampleInputs(self.inputs).length_axes
        found = {
            feeds[spec.name].shape[axis]
            for _, feeds in self.sets
            for spec in self.inputs
            for axis in axes(spec)
        }
        return sorted(found)

    def compare(self, got: Sequence[Feeds], precision: str, tolerance: float) -> Parity:
        """Compare a model's outputs by name, set by set; judges nothing.

        Args:
            got: the model's outputs, set by set.
            precision: the model's.
            tolerance: what parity allows beside the reference's noise.

        Raises:
            GateError: a shape is another one.
            InputError: the outputs differ, and the reference is random.
        """
        parity = self._compared(got, precision, tolerance, self._noise)
        if parity.failed and self._noise is None:
            self._noise = self._measured_noise()
            parity = self._compared(got, precision, tolerance, self._noise)
        return parity

    def _compared(
        self, got: Sequence[Feeds], precision: str, tolerance: float, noise: list[dict[str, Array]] | None
    ) -> Parity:
        outputs = [
            compare(
                name, label, got[i][name], value, None if noise is None else noise[i].get(name), tolerance
            )
            for i, (label, _) in enumerate(self.sets)
            for name, value in self.outputs[i].items()
        ]
        return Parity(precision=precision, reference=self.name, tolerance=tolerance, outputs=outputs)

    def _measured_noise(self) -> list[dict[str, Array]]:
        """By how much each element of each output moves: set by set, [elements] by name."""
        generator = np.random.default_rng(0)
        unoptimized = None if self.unoptimized is None else self.unoptimized()
        noise = []
        for (_, feeds), expected in zip(self.sets, self.outputs, strict=True):
            again = run_on_all(self.reference, self.inputs, feeds)
            _refuse_if_random(again, expected)
            others = [again]
            others += [
                run_on_all(self.reference, self.inputs, _moved(feeds, generator)) for _ in range(_MOVES)
            ]
            if unoptimized is not None:
                others.append(run_on_all(unoptimized, self.inputs, feeds))
            noise.append(
                {name: _spread(value, [o[name] for o in others]) for name, value in expected.items()}
            )
        return noise


def _moved(feeds: Feeds, generator: np.random.Generator) -> dict[str, Array]:
    """Every floating-point number up or down by one unit in the last place."""

    def move(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        towards = np.where(generator.random(array.shape) < 0.5, np.inf, -np.inf).astype(array.dtype)
        return np.nextafter(array, towards)

    return {name: move(array) for name, array in feeds.items()}


def _spread(expected: Array, others: Sequence[Array]) -> Array:
    """The largest difference of each element; 0 where it is not a finite number, which must agree as it is."""
    if expected.dtype.kind not in "fiub":
        return np.zeros(expected.shape)
    center = expected.astype(np.float64)
    spread = np.zeros(expected.shape)
    for other in others:
        if other.shape == expected.shape:
            with np.errstate(invalid="ignore"):
                difference = np.abs(other.astype(np.float64) - center)
            spread = np.maximum(spread, np.where(np.isfinite(difference), difference, 0.0))
    return spread


def _refuse_if_random(again: Feeds, expected: Feeds) -> None:
    """A reference that disagrees with itself explains a difference."""
    for name, value in expected.items():
        if not compare(name, "", again[name], value).max_relative_error <= _RANDOM:
            raise InputError(
                f"output {name} differs between two runs of the same model on the same input: it holds random "
                "operators or dropout in training mode, and cannot be checked; export it for inference"
            )
