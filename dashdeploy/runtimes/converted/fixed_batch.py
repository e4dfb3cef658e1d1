"""Runs samples through a model that was compiled for one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array


def run_in_pieces(
    call: Callable[[Sequence[Array]], dict[str, Array]],
    inputs: Sequence[TensorSpec],
    feeds: Mapping[str, Array],
    batch: int,
) -> dict[str, Array]:
    """Call a model as often as the samples need; the last call repeats the last sample.

    Args:
        call: runs `batch` samples, of arrays in the order of `inputs`.
        inputs: the model's inputs; one whose first axis has a name holds samples.
        feeds: one array per input, by name.
        batch: samples per call.

    Returns:
        One array per output, by name.
    """
    # In C order, because programs go by the layout that they were compiled for.
    arrays = [np.ascontiguousarray(feeds[spec.name], dtype=spec.dtype) for spec in inputs]
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
