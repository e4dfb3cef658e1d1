"""The inputs of all splits of a user's data as networks take them: checked, filled, in memory or batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dashdeploy.data.checks import (
    Array,
    check_finite_blocks,
    check_form,
    checked_inputs,
    refuse,
    shown,
)
from dashdeploy.data.lazy_inputs import gathered
from dashdeploy.data.missing_values import Missing, fill_missing, gap_filler
from dashdeploy.data.stored_arrays import StoredArray, fit_in_memory

Notes = tuple[str, ...]


def inputs_of(
    where: object, arrays: Mapping[str, Array | StoredArray], missing: Missing | None
) -> tuple[dict[str, Tensor], Notes]:
    """Bring inputs to [n, channels, length] or [n, channels, height, width], float32.

    Those that lie in files are read into memory if all of them together fit; else they are looked through once and
    read batch by batch. The numbers are the same.

    Args:
        where: the file, for messages.
        arrays: by split; ``train`` is among them.
        missing: what becomes of missing values; None refuses them.

    Returns:
        Tensors, or `LazyInputs` in their place, by split; and what is to be said of missing values, a line, if any.

    Raises:
        InputError: they cannot be used; the message names the array and the mend.
    """
    may_miss = missing in ("interpolate", "mean")
    for name, array in arrays.items():
        check_form(where, f"x_{name}", array.dtype, array.shape)
    shapes = {name: _with_channels(array.shape) for name, array in arrays.items()}
    _check_shapes_agree(where, shapes)
    if fit_in_memory(list(arrays.values())) or not any(isinstance(a, StoredArray) for a in arrays.values()):
        inputs = {
            name: checked_inputs(where, f"x_{name}", _in_memory(array), may_miss=may_miss)
            for name, array in arrays.items()
        }
        notes: Notes = ()
        if missing in ("interpolate", "mean") and any(np.isnan(each).any() for each in inputs.values()):
            _check_fillable(where, shapes["train"], missing)
            filled, notes = fill_missing(where, {name: list(each) for name, each in inputs.items()}, missing)
            inputs = {name: np.stack(samples) for name, samples in filled.items()}
        return {name: torch.from_numpy(array) for name, array in inputs.items()}, notes
    stored = {
        name: array if isinstance(array, StoredArray) else StoredArray.of(array)
        for name, array in arrays.items()
    }
    for name, rows in stored.items():
        check_finite_blocks(where, f"x_{name}", rows.blocks(), may_miss=may_miss)
    fill, notes = None, ()
    if missing in ("interpolate", "mean"):
        fill, notes = gap_filler(where, {name: _Samples(rows) for name, rows in stored.items()}, missing)
        if fill is not None:
            _check_fillable(where, shapes["train"], missing)
    return {name: _read_by_batch(rows, shapes[name], fill) for name, rows in stored.items()}, notes


class _Samples:
    """The samples of a stored array, in float32, one after the other; as often as they are asked for."""

    def __init__(self, rows: StoredArray) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Array]:
        for _, block in self.rows.blocks():
            yield from _as_float32(block, _with_channels(self.rows.shape))


def _read_by_batch(
    rows: StoredArray, shape: tuple[int, ...], fill: Callable[[Array], Array] | None
) -> Tensor:
    def gather(chosen: Sequence[int]) -> Tensor:
        batch: Iterable[Array] = _as_float32(rows.read(chosen), shape)
        return torch.from_numpy(np.stack([fill(each) for each in batch]) if fill else batch)

    return gathered(shape, gather)


def _as_float32(batch: Array, shape: tuple[int, ...]) -> Array:
    """Samples as they are stored, as samples of `shape[1:]`."""
    return np.ascontiguousarray(batch, dtype=np.float32).reshape(-1, *shape[1:])


def _in_memory(array: Array | StoredArray) -> Array:
    return array.whole() if isinstance(array, StoredArray) else array


def _with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _check_shapes_agree(where: object, shapes: Mapping[str, tuple[int, ...]]) -> None:
    expected = shapes["train"][1:]
    for name, shape in shapes.items():
        if shape[1:] != expected:
            refuse(
                where,
                f"x_{name} has samples of shape {shown(shape[1:])} but x_train of shape {shown(expected)}",
                "use the same channels and length everywhere",
            )


def _check_fillable(where: object, shape: tuple[int, ...], missing: Missing) -> None:
    if len(shape) > 3 and missing == "interpolate":
        refuse(where, "images miss values, which no line can be drawn to", "use `missing=mean`")
