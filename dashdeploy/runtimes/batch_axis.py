"""Whether a model's first axis is a batch axis: whether requests may share a run.

A dynamic first axis may as well be a length, along which the model mixes its rows. So the model is asked: rows
that are run together must give what they give apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array, Runtime
from dashdeploy.runtimes.example_inputs import ExampleInputs

Feeds = dict[str, Array]

_RELATIVE_TOLERANCE = 0.02
"""Of an output's largest value. Other kernels for another batch size differ by rounding, in half precision by
up to 1e-2; rows that are mixed differ by the values themselves."""


def warm_up(runtime: Runtime, inputs: Sequence[TensorSpec]) -> Feeds | None:
    """Run the model once, which makes the engine allocate.

    Args:
        runtime: the model.
        inputs: its inputs, with the names of their dynamic axes, which some engines forget.

    Returns:
        Inputs of one row and the least length that the model ran on, zeros if it takes these; None if it took none.
    """
    random = ExampleInputs.of(runtime.run, inputs).feeds(1, np.random.default_rng(0))
    zeros = {
        name: np.full_like(array, "" if array.dtype.kind == "O" else 0) for name, array in random.items()
    }
    for feeds in (zeros, random):
        try:
            runtime.run(feeds)
        except Exception:  # every engine raises classes of its own
            continue
        return feeds
    return None


def has_batch_axis(
    runtime: Runtime,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    probe: Mapping[str, Array],
) -> bool:
    """Whether the rows of the first axis are independent of each other, found by running the model thrice.

    Args:
        runtime: the model.
        inputs: its inputs, as for `warm_up`.
        outputs: its outputs.
        probe: inputs of one row that the model runs on.
    """
    if not _first_axes_are_dynamic(inputs, outputs):
        return False
    generator = np.random.default_rng(0)
    one, two = (
        {spec.name: _rows(spec, rows, _length(spec, probe[spec.name]), generator) for spec in inputs}
        for rows in (1, 2)
    )
    together = {name: np.concatenate([one[name], two[name]]) for name in one}
    try:
        apart = [runtime.run(one), runtime.run(two)]
        joint = runtime.run(together)
    except Exception:  # as above: a model that refuses these is not batched
        return False
    return all(_same([part[name] for part in apart], array) for name, array in joint.items())


def _first_axes_are_dynamic(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    if not inputs or not all(spec.shape and isinstance(spec.shape[0], str) for spec in (*inputs, *outputs)):
        return False
    names = {spec.shape[0] for spec in inputs}
    return len(names) == 1 and not any(names & set(spec.shape[1:]) for spec in inputs)


def _rows(spec: TensorSpec, rows: int, length: int, generator: np.random.Generator | None) -> Array:
    """Zeros, or random numbers, with `rows` along the first axis if it is dynamic, else `length`."""
    shape = tuple(
        axis if isinstance(axis, int) else (rows if index == 0 else length)
        for index, axis in enumerate(spec.shape)
    )
    fixed = spec.model_copy(update={"shape": shape})
    return fixed.zeros(rows) if generator is None else fixed.random(rows, generator)


def _length(spec: TensorSpec, probe: Array) -> int:
    lengths = [
        found for axis, found in zip(spec.shape[1:], probe.shape[1:], strict=True) if isinstance(axis, str)
    ]
    return lengths[0] if lengths else 1


def _same(parts: Sequence[Array], joint: Array) -> bool:
    if any(part.ndim != joint.ndim or part.shape[1:] != joint.shape[1:] for part in parts):
        return False
    if [part.shape[0] for part in parts] != [1, 2] or joint.shape[0] != 3:
        return False
    apart = np.concatenate(list(parts))
    if apart.dtype.kind != "f":
        return bool(np.array_equal(apart, joint))
    expected, found = apart.astype(np.float64), joint.astype(np.float64)
    scale = float(np.abs(expected, where=np.isfinite(expected), out=np.zeros_like(expected)).max(initial=0))
    return bool(np.allclose(found, expected, rtol=0, atol=_RELATIVE_TOLERANCE * scale, equal_nan=True))
