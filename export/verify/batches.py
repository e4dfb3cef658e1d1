"""Runs a model on any number of samples, also one whose batch is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array

Run = Callable[[Mapping[str, Array]], dict[str, Array]]


def fixed_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """The first axis of a model's inputs where it is a number, the same for all; None where it is dynamic."""
    sizes = {spec.shape[0] for spec in inputs if spec.shape}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


def split(feeds: Mapping[str, Array], size: int) -> Iterator[dict[str, Array]]:
    """Samples in batches of `size`; the last one is filled up with its last sample. Numbers go to all."""
    count = _count(feeds)
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        yield {name: array[rows] if array.ndim else array for name, array in feeds.items()}


def run_on_all(run: Run, inputs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs for all samples, in one call where the model takes any batch.

    Args:
        run: the model, or its reference.
        inputs: the model's inputs.
        feeds: one array per input, [samples, ...].
    """
    size = fixed_batch(inputs)
    if size is None or size == (count := _count(feeds)):
        return run(feeds)
    parts = [run(part) for part in split(feeds, size)]
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def _count(feeds: Mapping[str, Array]) -> int:
    return next(len(array) for array in feeds.values() if array.ndim)
