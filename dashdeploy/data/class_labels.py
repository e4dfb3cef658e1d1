"""Classes under any name become indices 0, 1, …: text, numbers from 1 or with gaps, -1 and +1, booleans.

The training data define the classes, in sorted order as scikit-learn has them, or in the order of the names that are
given. What the classes were called stays as the model's labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dashdeploy.data.checks import Array, place, refuse

_SHOWN = 8


@dataclass(frozen=True)
class Classes:
    """What class targets mean.

    Attributes:
        labels: names of the classes by index.
        targets: class indices by split, int64, in the shape of the targets.
        notes: what was made of the classes, a line each, for whoever started this.
    """

    labels: tuple[str, ...]
    targets: dict[str, Array]
    notes: tuple[str, ...] = ()


def plain_text(array: Array) -> Array:
    """Python objects that are all text, and bytes, as NumPy's text; any other array as it is.

    pandas and lists of Python's own hand out text as objects, HDF5 and older files as bytes.
    """
    if array.dtype.kind == "O" and array.size and all(isinstance(each, str) for each in array.flat):
        return array.astype(np.str_)
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            return np.char.decode(array, "latin-1")
    return array.astype(np.str_) if array.dtype.kind == "T" else array


def classes_of(
    where: object,
    targets: Mapping[str, Array],
    names: Array | None = None,
    called: Mapping[str, str] | None = None,
) -> Classes:
    """Turn classes under any name into indices.

    Args:
        where: the file, for messages.
        targets: the classes by split, as whole numbers, booleans or text; ``train`` is among them.
        names: names of all classes, if they are known. Targets that are text are among these. Numbers are indices
            of these; or such names themselves; or stand for these in sorted order, if there are as many.
        called: what the user calls y_train and so on, where that is something else.

    Returns:
        The classes that training data have. A name without a training sample is left out, since nobody can learn it.

    Raises:
        InputError: a split has text where another has numbers, a class that training data do not have, or training
            data have fewer than two.
    """
    train = targets["train"]
    y = {name: (called or {}).get(f"y_{name}", f"y_{name}") for name in targets}
    for name, array in targets.items():
        if (array.dtype.kind == "U") != (train.dtype.kind == "U"):
            have, other = ("numbers", "text") if train.dtype.kind == "U" else ("text", "numbers")
            refuse(
                where, f"{y[name]} holds {have} but {y['train']} {other}", "name the classes alike everywhere"
            )
    if train.dtype.kind == "U" and not np.char.str_len(train).all():
        empty = place(np.char.str_len(train) == 0)
        refuse(where, f"{y['train']} is empty text at index {empty}", "name its class, or drop the sample")
    values = np.unique(train)
    if len(values) == 1:
        only = values[0]
        if names is not None and only.dtype.kind == "i" and 0 <= only < len(names):
            only = names[only]
        refuse(where, f"{y['train']} holds the one class {only}", "a classifier needs at least two")
    labels, notes = (
        _own_labels(where, y["train"], train, values)
        if names is None
        else _named(where, y["train"], train, values, names)
    )
    indices = {name: _indices(where, y[name], y["train"], array, values) for name, array in targets.items()}
    return Classes(labels, indices, notes)


def _own_labels(
    where: object, name: str, train: Array, values: Array
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes' own values as labels, and what is to be said of them."""
    labels = tuple(str(each) for each in values.tolist())
    if values.dtype.kind == "i" and np.array_equal(values, np.arange(len(values))):
        return labels, ()
    if values.dtype.kind == "i" and 2 * len(values) > train.size:
        refuse(
            where,
            f"{name} holds {len(values)} different numbers in {train.size} targets",
            "add `predict=regression` to learn numbers, or number the classes 0, 1, 2, …",
        )
    what = {"U": "text", "b": "booleans"}.get(values.dtype.kind, "numbers other than 0, 1, 2, …")
    return labels, (f"the classes are {what}; the model's {len(labels)} labels are {_listed(labels)}",)


def _named(
    where: object, name: str, train: Array, values: Array, names: Array
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the classes `values`, and what is to be said of them. May sort `values` by the names' order."""
    given = tuple(str(each) for each in names.tolist())
    if values.dtype.kind == "U" or _numbers_are(values, given):
        known = {each: index for index, each in reversed(list(enumerate(given)))}
        for value in values:
            if str(value) not in known:
                refuse(
                    where,
                    f"{name} is {value} at index {place(train == value)}, which is none of labels "
                    f"({_listed(given)})",
                    "add it there, or correct it",
                )
        values[:] = sorted(values, key=lambda value: known[str(value)])
        labels, notes = tuple(str(each) for each in values.tolist()), ()
    elif values[0] >= 0 and values[-1] < len(given):
        labels, notes = tuple(given[int(index)] for index in values), ()
    elif len(values) == len(given):
        pairs = [f"{value} is {each}" for value, each in zip(values.tolist(), given, strict=True)]
        return given, (f"the classes are numbers other than 0, 1, 2, …: {_listed(pairs)}",)
    else:
        refuse(
            where,
            f"{name} holds {len(values)} classes, {_listed(values.tolist())}, and labels {len(given)} names",
            f"give one name for each of the {len(values)} classes, as text",
        )
    unused = [each for each in given if each not in labels]
    if not unused:
        return labels, notes
    which = "class" if len(unused) == 1 else "classes"
    return labels, (
        f"no training sample has the {which} {_listed(unused)}: the model cannot learn it and leaves it out",
    )


def _numbers_are(values: Array, names: Sequence[str]) -> bool:
    """Whether numbers, none of which can be an index for its size alone, are names."""
    inside = values[0] >= 0 and values[-1] < len(names)
    return not inside and set(map(str, values.tolist())) <= set(names)


def _indices(where: object, name: str, training: str, array: Array, values: Array) -> Array:
    """Indices of `array` in `values`, which need not be sorted.

    Raises:
        InputError: one is not there.
    """
    order = np.argsort(values, kind="stable")
    at = np.minimum(np.searchsorted(values, array, sorter=order), len(values) - 1)
    indices = order[at]
    unknown = values[indices] != array
    if unknown.any():
        wrong = array[unknown][0]
        refuse(
            where,
            f"{name} is {wrong} at index {place(unknown)}, a class that {training} never has (it has "
            f"{_listed(values.tolist())})",
            "add training samples of it, or drop it",
        )
    return np.asarray(indices, dtype=np.int64)


def _listed(names: Sequence[object]) -> str:
    """Some names, the first and the last where there are many."""
    if len(names) <= _SHOWN:
        return ", ".join(map(str, names))
    return f"{', '.join(map(str, names[: _SHOWN - 2]))}, … {names[-1]}"
