"""What every reader of tables makes, and what they have in common: the target column and its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import Array, refuse
from dashdeploy.errors import InputError

MISSING_TARGETS = ("", "?", "nan", "NaN")
"""What a target is not: a class may well be called NA or None."""
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SHOWN = 8


@dataclass(frozen=True)
class Samples:
    """The rows of one table.

    Attributes:
        series: [n, channels, length], float64; a missing value is NaN, and so is what lies behind `lengths`.
        lengths: of each series [n], int64.
        targets: [n], text, numbers or booleans.
        target: what messages call their column.
        place: what messages call a row, by its index.
        names: of the columns that make the series; None where the table has no header.
        by_columns: whether each column is a value of the series, so that two files have the same.
        classes: all classes in the file's own order, if it lists them.
        notes: what was made of the table, a line each.
    """

    series: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    targets: Array
    target: str
    place: Callable[[int], str]
    names: tuple[str, ...] | None = None
    by_columns: bool = False
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def column_name(names: Sequence[str] | None, index: int) -> str:
    """What messages call a column."""
    return f"column {index} (from 0)" if names is None else f"column {names[index]!r}"


def target_index(
    where: object, names: Sequence[str] | None, count: int, wanted: str | int | None, *, first: bool = False
) -> tuple[int, tuple[str, ...]]:
    """Which column is the target, and what is to be said where nobody chose it.

    Args:
        where: the file, for messages.
        names: of all columns; None where the table has no header.
        count: of the columns.
        wanted: a column's name, or its index from 0, or from -1 at the end. A name comes before an index.
        first: whether the first column is the target by the format's convention, rather than the last.

    Raises:
        InputError: the column does not exist, or the table has no other one.
    """
    if count < 2:
        refuse(where, "it has one column", "a table needs the columns of the series and that of the target")
    if wanted is None:
        index, which = (0, "first") if first else (count - 1, "last")
        named = "" if names is None else f", {names[index]!r}"
        return index, (f"what is predicted is the {which} column{named}; `target_column` chooses another",)
    if names is not None and str(wanted) in names:
        return list(names).index(str(wanted)), ()
    if re.fullmatch(r"-?\d+", str(wanted)):
        index = int(wanted)
        if not -count <= index < count:
            refuse(where, f"it has {count} columns and none of index {index}", "correct `target_column`")
        return index % count, ()
    if names is None:
        wrong = f"it has no header, so no column is called {wanted!r}"
        raise InputError(f"{where}: {wrong}; give an index from 0 in `target_column`, or -1 for the last")
    has = ", ".join(names if len(names) <= _SHOWN else [*names[:4], "…", *names[-3:]])
    raise InputError(f"{where}: no column is called {wanted!r} (it has {has}); correct `target_column`")


def refuse_doubled(where: object, names: Sequence[str]) -> None:
    """Refuse a header that names two columns alike.

    Raises:
        InputError: it does.
    """
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            refuse(
                where, f"columns {seen[name]} and {index} (from 0) are both called {name!r}", "rename one of them"
            )  # fmt: skip
        seen[name] = index


def typed_targets(targets: Mapping[str, Array]) -> dict[str, Array]:
    """Targets that are text become numbers where all of them, in all splits, are written as numbers."""
    texts = [str(each) for array in targets.values() if array.dtype.kind == "U" for each in np.unique(array)]
    kind: type[np.generic] | None = None
    if texts and all(map(_INTEGER.fullmatch, texts)):
        kind = np.int64
    elif texts and all(map(_NUMBER.fullmatch, texts)):
        kind = np.float64
    return {
        name: array.astype(kind) if kind is not None and array.dtype.kind == "U" else array
        for name, array in targets.items()
    }


def first_text(targets: Array) -> int | None:
    """Index of the first target that is not a number; None where all are."""
    if targets.dtype.kind != "U":
        return None
    return next((index for index, each in enumerate(targets) if not _NUMBER.fullmatch(str(each))), None)
