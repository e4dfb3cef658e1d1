"""Arrays of what Python programs hold: lists, torch tensors, data frames, series of several lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dashdeploy.data.arrays.lengths import stacked
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, refuse


def as_array(where: object, name: str, value: Any) -> Array | StoredArray:  # noqa: ANN401 - whatever a user has
    """`value` as an array.

    Series of several lengths, as a list or as cells of a data frame, come out with NaN at their ends.

    Args:
        where: what it came from, for messages.
        name: of the array, for messages.
        value: an array, a tensor on any device, a data frame or one of its columns, or a list of these.

    Raises:
        InputError: it is not an array, or its samples differ in more than their length.
    """
    if isinstance(value, StoredArray):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return np.asarray(value)
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
    if hasattr(value, "isna") and hasattr(value, "to_numpy"):
        return _of_pandas(where, name, value)
    try:
        array = np.asarray(value)
    except ValueError:  # NumPy's word for lists of several lengths
        return _stacked(where, name, value)
    except Exception as error:
        refuse(where, f"{name} is not an array ({type(value).__name__}: {error})", "give a NumPy array")
    if array.dtype.kind == "O" and array.size and any(_is_nested(each) for each in array.flat):
        return _stacked(where, name, array)
    return array


def _of_pandas(where: object, name: str, value: Any) -> Array:  # noqa: ANN401 - pandas is not needed here
    """A pandas object's values; what it calls missing is NaN among numbers."""
    if getattr(value.index, "nlevels", 1) > 1:
        wrong = f"{name} has row names of {value.index.nlevels} levels, so that a sample has several rows"
        refuse(where, wrong, "give an array [n, channels, length], or one row for each sample")
    array = np.asarray(value)
    if array.dtype.kind != "O":
        return array
    if array.size and any(_is_nested(each) for each in array.flat):
        return _stacked(where, name, array)
    missing = np.asarray(value.isna())
    known = array[~missing]
    if known.size and all(isinstance(each, (bool, np.bool_)) for each in known) and not missing.any():
        return array.astype(bool)
    if all(isinstance(each, (int, float, np.number)) for each in known):
        return np.where(missing, np.nan, array).astype(np.float64)
    if missing.any():
        at = ", ".join(str(int(each)) for each in np.argwhere(missing)[0])
        refuse(where, f"{name} is missing at index {at}", "fill it in, or drop the sample")
    return array


def _is_nested(value: object) -> bool:
    return isinstance(value, (list, tuple, torch.Tensor)) or getattr(value, "ndim", 0) > 0


def _stacked(where: object, name: str, value: Any) -> Array:  # noqa: ANN401 - as above
    """[n, channels, length] of one series for each sample, or of one for each sample and channel."""
    samples = [_sample(where, name, index, each) for index, each in enumerate(value)]
    channels = {len(each) for each in samples}
    if len(channels) > 1:
        refuse(
            where, f"{name} has samples of {' and '.join(map(str, sorted(channels)))} channels",
            "give every sample the same channels",
        )  # fmt: skip
    return stacked(samples)


def _sample(where: object, name: str, index: int, value: Any) -> Array:  # noqa: ANN401 - as above
    """One sample as [channels, length]."""
    cells = isinstance(value, np.ndarray) and value.dtype.kind == "O"
    try:
        if cells or (isinstance(value, (list, tuple)) and any(map(_is_nested, value))):
            rows = [np.asarray(each, np.float64) for each in value]
            longest = max(map(len, rows))
            sample = np.array([np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows])
        else:
            sample = np.asarray(value, np.float64)
    except (ValueError, TypeError) as error:
        refuse(where, f"{name} is not a series at index {index} ({error})", "give numbers")
    if sample.ndim not in (1, 2) or not sample.size:
        refuse(where, f"{name} is not a series at index {index}", "give [length] or [channels, length] each")
    return sample[None] if sample.ndim == 1 else sample
