"""Runs a model on any number of samples, also one whose batch is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array

_BYTES, _LEAST = 2**20, 3
"""Of inputs in one call, and samples at least: what a model computes of them is often a hundred times as large."""

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
    """The outputs for all samples, in one call where the model takes any batch and they are not large.

    Args:
        run: the model, or its reference.
        inputs: the model's inputs.
        feeds: one array per input, [samples, ...].
    """
    size, count = fixed_batch(inputs), _count(feeds)
    several = size is None and _one_batch(inputs, feeds)
    if several:
        size = max(_LEAST, batch_of_bytes(feeds, _BYTES))
    if size is None or (size >= count > 0 and (several or size == count)):
        return run(feeds)
    parts = []
    for part in split(feeds, size):
        parts.append(run(part))
        if several and any(value.shape[:1] != (size,) for value in parts[0].values()):
            return run(feeds)  # not one row for each sample
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def batch_of_bytes(feeds: Mapping[str, Array], most: int) -> int:
    """How many samples have together at most so many bytes of inputs; at least one."""
    each = sum(array.nbytes // max(len(array), 1) for array in feeds.values() if array.ndim)
    return max(1, most // max(each, 1))


def _one_batch(inputs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> bool:
    """Whether the first axis of every input counts the samples."""
    axes = {spec.shape[0] for spec in inputs if spec.shape}
    return len(axes) == 1 and len({len(array) for array in feeds.values() if array.ndim}) == 1


def _count(feeds: Mapping[str, Array]) -> int:
    return next((len(array) for array in feeds.values() if array.ndim), 0)
