"""What can be wrong with a user's arrays, each named in one line with the place and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from dashdeploy.data.task import Kind
from dashdeploy.errors import InputError

Array = npt.NDArray[Any]


def refuse(where: object, wrong: str, fix: str) -> NoReturn:
    """Say that the data at `where` cannot be used.

    Raises:
        InputError: always.
    """
    raise InputError(f"{where}: {wrong}; {fix}")


def shown(shape: tuple[int, ...]) -> str:
    """A shape, as messages write it."""
    return "[" + ", ".join(str(axis) for axis in shape) + "]"


def checked_inputs(
    where: object, name: str, array: Array, *, may_miss: bool = False
) -> npt.NDArray[np.float32]:
    """Bring inputs to [n, channels, length] or [n, channels, height, width], float32.

    Args:
        where: the file, for the message.
        name: the array's name, for the message.
        array: the inputs.
        may_miss: whether some may be NaN, which are filled later.

    Raises:
        InputError: they are not numbers, have other axes, or some are NaN, infinite or too large.
    """
    check_form(where, name, array.dtype, array.shape)
    single = finite(where, name, array, fix_for_gaps(may_miss), may_miss=may_miss)
    return single[:, None, :] if single.ndim == 2 else single


def check_form(where: object, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    """Refuse inputs of another type or shape than networks take.

    Raises:
        InputError: they are not numbers, have other axes, or are none at all.
    """
    if dtype.kind not in "fiub":
        refuse(where, f"{name} has dtype {dtype}", "use real numbers (float32)")
    if len(shape) not in (2, 3, 4):
        refuse(
            where,
            f"{name} has {len(shape)} axes, shape {shown(shape)}",
            "use [n, channels, length], [n, length] for one channel, or [n, channels, height, width] for images",
        )
    if 0 in shape:
        refuse(where, f"{name} is empty, shape {shown(shape)}", "every axis needs at least one entry")


def fix_for_gaps(may_miss: bool) -> str:
    """What to do about inputs that are infinite, or NaN where these are not filled."""
    return (
        "fill or drop them" if may_miss else "fill or drop them, or have NaN filled by `missing=interpolate`"
    )


def finite(
    where: object, name: str, array: Array, fix: str = "fill or drop them", *, may_miss: bool = False
) -> npt.NDArray[np.float32]:
    """Turn `array` into float32; some of it may be NaN if it `may_miss` values.

    Raises:
        InputError: some of it is NaN, infinite, or beyond float32.
    """
    known = np.isfinite(array) | np.isnan(array) if may_miss else np.isfinite(array)
    if not known.all():
        refuse_unknown(where, name, int((~known).sum()), _first(~known), fix)
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(array, dtype=np.float32)
    if np.isinf(single).any():
        refuse_beyond_float32(where, name, _first(np.isinf(single)))
    return single


def check_finite_blocks(
    where: object, name: str, blocks: Iterable[tuple[int, Array]], *, may_miss: bool = False
) -> None:
    """What `finite` refuses, of an array that comes in blocks, each with the number of its first row.

    Raises:
        InputError: some of it is NaN, infinite, or beyond float32.
    """
    count, first, beyond = 0, "", ""
    for start, block in blocks:
        wrong = ~(np.isfinite(block) | np.isnan(block) if may_miss else np.isfinite(block))
        if wrong.any():
            count += int(wrong.sum())
            first = first or _first(wrong, start)
        with np.errstate(over="ignore"):
            too_large = np.isinf(block.astype(np.float32)) & ~wrong
        if not beyond and too_large.any():
            beyond = _first(too_large, start)
    if count:
        refuse_unknown(where, name, count, first, fix_for_gaps(may_miss))
    if beyond:
        refuse_beyond_float32(where, name, beyond)


def refuse_unknown(where: object, name: str, count: int, first: str, fix: str) -> NoReturn:
    """Say that some of an array is not a number.

    Raises:
        InputError: always.
    """
    refuse(where, f"{name} holds {count} values that are NaN or infinite, the first at index {first}", fix)


def refuse_beyond_float32(where: object, name: str, first: str) -> NoReturn:
    """Say that some of an array is too large.

    Raises:
        InputError: always.
    """
    refuse(where, f"{name} has values beyond float32, the first at index {first}", "scale the data")


def checked_targets(
    where: object, name: str, array: Array, kind: Kind, spatial: tuple[int, ...]
) -> tuple[Array, bool]:
    """Bring targets to the form that `Split` describes.

    Args:
        where: the file, for the message.
        name: the array's name, for the message.
        array: the targets.
        kind: what they are meant to be.
        spatial: the inputs' spatial axes, which dense targets have as well.

    Returns:
        The targets, and whether they are dense. Classes are still what the user calls them: int64, booleans or text.

    Raises:
        InputError: they are not what `kind` needs.
    """
    if array.dtype.kind not in ("fiubU" if kind == "classification" else "fiub"):
        wanted = {
            "classification": "use whole numbers or text",
            "multi-label": "use 0 and 1",
            "regression": "use real numbers (float32)",
        }
        refuse(where, f"{name} has dtype {array.dtype}", wanted[kind])
    if array.ndim == 0 or array.size == 0:
        refuse(where, f"{name} is empty", "every split needs at least one sample")
    check = {"classification": _classes, "multi-label": _label_sets, "regression": _numbers}[kind]
    return check(where, name, array, spatial)


def _classes(where: object, name: str, array: Array, spatial: tuple[int, ...]) -> tuple[Array, bool]:
    if array.ndim > 1 and array.shape[1] == 1 and array.shape[2:] in ((), spatial):
        array = array[:, 0]
    dense = array.ndim > 1 and array.shape[1:] == spatial
    if array.dtype.kind not in "Ub":
        _whole(where, name, array)
    if array.ndim != 1 and not dense:
        refuse(
            where,
            f"{name} has shape {shown(array.shape)}",
            f"use one class index per sample, [n], not one-hot, or one per position, {_per_position(spatial)}; "
            "with `predict=multi-label`, 0 and 1 for every label",
        )
    if array.dtype.kind in "Ub":
        return array, dense
    return array.astype(np.int64), dense


def _whole(where: object, name: str, array: Array) -> None:
    """Refuse numbers that are not classes, before a shape that numbers to predict may have is refused."""
    if array.dtype.kind == "f":  # whole, and so small that the next whole number is another one
        number = np.nan_to_num(array.astype(np.float64))
        whole = (array == np.round(number)) & (np.abs(number) <= 2**53)
    else:
        whole = array <= np.iinfo(np.int64).max
    if not whole.all():
        at = np.unravel_index(int(np.argmin(whole)), array.shape)
        refuse(
            where,
            f"{name} is {array[at]} at index {_index(at)}",
            "classes are whole numbers or text; add `predict=regression` to learn numbers",
        )


def _label_sets(where: object, name: str, array: Array, spatial: tuple[int, ...]) -> tuple[Array, bool]:
    dense = array.ndim > 2 and array.shape[2:] == spatial
    if array.ndim != 2 and not dense:
        refuse(
            where,
            f"{name} has shape {shown(array.shape)}",
            f"for `predict=multi-label` use 0 and 1 as [n, labels], or {_per_position(('labels', *spatial))}",
        )
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        refuse(where, f"{name} is {array[at]} at index {_index(at)}", "labels are 0 or 1")
    return array.astype(np.int64), dense


def _numbers(where: object, name: str, array: Array, spatial: tuple[int, ...]) -> tuple[Array, bool]:
    if array.ndim == 1:
        return finite(where, name, array)[:, None], False
    if array.shape[1:] == spatial:
        return finite(where, name, array)[:, None], True
    dense = array.ndim > 2 and array.shape[2:] == spatial
    if array.ndim != 2 and not dense:
        refuse(
            where,
            f"{name} has shape {shown(array.shape)}",
            f"for `predict=regression` use [n], [n, outputs], or one number per position, {_per_position(spatial)}",
        )
    return finite(where, name, array), dense


def _per_position(spatial: tuple[object, ...]) -> str:
    return "[" + ", ".join(["n", *map(str, spatial)]) + "]"


def _first(wrong: Array, row: int = 0) -> str:
    """Index of the first entry that is wrong, in an array whose first row is number `row` of a larger one."""
    at, *others = (int(i) for i in np.argwhere(wrong)[0])
    return shown((row + at, *others))


def place(wrong: Array) -> str:
    """Index of the first entry that is wrong, as messages write it."""
    return _index(tuple(np.argwhere(wrong)[0]))


def _index(at: tuple[Any, ...]) -> str:
    return str(int(at[0])) if len(at) == 1 else shown(tuple(int(i) for i in at))
