"""Runs any number of samples in a program that is compiled for one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array


def in_fixed_batches(
    call: Callable[[Sequence[Array]], dict[str, Array]],
    arrays: Sequence[Array],
    inputs: Sequence[TensorSpec],
    batch: int,
) -> dict[str, Array]:
    """Run a program once, or as often as the samples need: the last sample fills up the last batch.

    Args:
        call: runs the program on `batch` samples.
        arrays: an array for each input, of as many samples each.
        inputs: what the arrays are; an input whose first axis has a name is cut there.
        batch: what the program was compiled for.
    """
    batched = [bool(spec.shape) and isinstance(spec.shape[0], str) for spec in inputs]
    count = next((len(array) for array, many in zip(arrays, batched, strict=True) if many), batch)
    if count == batch:
        return call(arrays)
    pieces = []
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)
        pieces.append(
            call([array[rows] if many else array for array, many in zip(arrays, batched, strict=True)])
        )
    return {name: np.concatenate([piece[name] for piece in pieces])[:count] for name in pieces[0]}
