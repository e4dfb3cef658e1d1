"""Where the channels of arrays are: behind the samples, as in torch, or at the end, as in Keras and tslearn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, refuse, shown

Layout = Literal["channels-first", "channels-last"]

_MUCH_SMALLER = 8
"""A last axis this many times shorter than the others is rather channels than time: no data set of the UEA archive
has as many channels for its length, and three axes of an accelerometer have more than 24 values."""
_FEWEST_ROWS = 4
"""An image has more rows than this, so that a second axis with more is not an axis of channels."""


def in_channels_first(
    where: object, arrays: Mapping[str, Array | StoredArray], called: Mapping[str, str], layout: Layout | None
) -> tuple[dict[str, Array | StoredArray], tuple[str, ...]]:
    """Bring the channels behind the samples, if the layout says that they are at the end.

    Args:
        where: what the arrays came from, for messages.
        arrays: by their names here: x_train and so on. Targets that have a channel axis behind the inputs' spatial
            axes are moved alike.
        called: what the user calls each.
        layout: of the arrays; None is channels first, and a note where they do not look like it.

    Returns:
        The arrays, and what is to be said.

    Raises:
        InputError: a layout is given for inputs without an axis of channels.
    """
    name = "x_train"
    if layout is not None and arrays[name].ndim == 2:
        refuse(
            where,
            f"{called[name]} has shape {shown(arrays[name].shape)}, one channel without an axis of its own",
            f"leave out `layout={layout}`",
        )
    if layout == "channels-last":
        return {each: _moved(each, array, arrays) for each, array in arrays.items()}, ()
    if layout is None and looks_channels_last(arrays[name]):
        shape = shown(arrays[name].shape)
        last, others = arrays[name].shape[-1], arrays[name].shape[1]
        return dict(arrays), (
            f"{called[name]} has shape {shape}, which is read as {others} channels; if its last axis holds "
            f"the {last} channels, say `layout=channels-last`, and if not, `layout=channels-first`",
        )
    return dict(arrays), ()


def looks_channels_last(array: Array | StoredArray) -> bool:
    """Whether inputs [n, a, b] or [n, a, b, c] rather have their channels at the end."""
    if array.ndim == 3:
        return bool(array.shape[2] * _MUCH_SMALLER <= array.shape[1])
    if array.ndim == 4:
        return array.shape[3] in (1, 3, 4) and min(array.shape[1:3]) > _FEWEST_ROWS
    return False


def _moved(
    name: str, array: Array | StoredArray, arrays: Mapping[str, Array | StoredArray]
) -> Array | StoredArray:
    if isinstance(array, StoredArray):
        return array.channels_first() if array.ndim > 2 else array
    if name.startswith("x_"):
        return np.moveaxis(array, -1, 1) if array.ndim > 2 else array
    inputs = arrays.get(f"x_{name.removeprefix('y_')}")
    if not name.startswith("y_") or inputs is None or inputs.ndim < 3 or array.ndim != inputs.ndim:
        return array
    return np.moveaxis(array, -1, 1) if array.shape[1:-1] == inputs.shape[1:-1] else array
