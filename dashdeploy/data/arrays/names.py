"""Which array is which: x_train and y_train by these names or by others that people use.

A set of arrays is one of two families. Either it has parts (``X_train``, ``trainY``, ``test_labels``), or it is whole
(``X`` and ``y``, ``data`` and ``target``) and a test part is split off later. Case and separators do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dashdeploy.data.checks import refuse

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("x_val", "y_val")
LABELS = "labels"
PAIRS = (("x_train", "y_train"), ("x_test", "y_test"), ("x_val", "y_val"))

SPLIT_NAMES = {
    "training": "train",
    "train": "train",
    "testing": "test",
    "test": "test",
    "validation": "val",
    "valid": "val",
    "val": "val",
}
"""What people call the parts of their data, in small letters, and what they are called here."""
_KINDS = {
    **dict.fromkeys(("x", "data", "inputs", "features", "images", "samples", "series", "signals"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "y"),
}
_CLASS_NAMES = ("classnames", "labelnames", "targetnames")


def names_of_arrays(where: object, found: Sequence[str], fix: str) -> dict[str, str]:
    """What each array that is needed is called among those that were found.

    Where `REQUIRED` are all there by these very names, nothing else is looked at.

    Args:
        where: what the arrays came from, for messages.
        found: names of all arrays; those that mean nothing here are left alone.
        fix: how a missing array is added; gets its name.

    Returns:
        The name in `found` by the name here: x_train and y_train, perhaps x_test and y_test, perhaps `OPTIONAL`,
        perhaps ``labels``, the names of classes. A whole set counts as training arrays.

    Raises:
        InputError: an array is missing, or several could be one of these.
    """
    if all(name in found for name in REQUIRED):
        known = {name: name for name in (*REQUIRED, *OPTIONAL, LABELS) if name in found}
    else:
        known = _by_meaning(where, found)
    whole = "x" in known or "y" in known
    pairs = (("x", "y"),) if whole else PAIRS if known else PAIRS[:2]
    for index, pair in enumerate(pairs):
        missing = [name for name in pair if name not in known]
        if len(missing) == 1 or (missing and index == 0):
            has = ", ".join(found[:8]) or "no arrays"
            refuse(where, f"array {missing[0]} is missing (the file has {has})", fix.format(missing[0]))
    if whole:
        return {"x_train": known["x"], "y_train": known["y"], **_only(known, LABELS)}
    return known


def _only(known: dict[str, str], name: str) -> dict[str, str]:
    return {name: known[name]} if name in known else {}


def _by_meaning(where: object, found: Sequence[str]) -> dict[str, str]:
    """The names by what they mean; ``x`` and ``y`` are those of a whole set."""
    meant: dict[str, list[str]] = {}
    for name in found:
        meaning = _meaning(name)
        if meaning is not None:
            meant.setdefault(meaning, []).append(name)
    # Beside other targets, `labels` are what it always was: the names of the classes.
    targets = meant.get("y", [])
    if LABELS in targets and (len(targets) > 1 or "y_train" in meant):
        meant.setdefault(LABELS, []).append(LABELS)
        targets.remove(LABELS)
        if not targets:
            del meant["y"]
    for meaning, names in meant.items():
        if len(names) > 1:
            refuse(where, f"both {names[0]} and {names[1]} can be {meaning}", "keep one, or rename the other")
    parts = [names[0] for meaning, names in meant.items() if "_" in meaning]
    whole = [meant[meaning][0] for meaning in ("x", "y") if meaning in meant]
    if parts and whole:
        refuse(
            where,
            f"{whole[0]} is for a whole data set and {parts[0]} for a part of one",
            "keep the whole set, or x_train, y_train, x_test, y_test",
        )
    return {meaning: names[0] for meaning, names in meant.items()}


def _meaning(name: str) -> str | None:
    """x, y, x_train, …, y_val or labels; None for a name that means nothing here."""
    plain = re.sub("[^a-z0-9]", "", name.lower())
    if plain in _CLASS_NAMES:
        return LABELS
    if plain in _KINDS:
        return _KINDS[plain]
    for word, part in SPLIT_NAMES.items():
        for rest in (plain.removeprefix(word), plain.removesuffix(word)):
            if rest != plain and rest in _KINDS:
                return f"{_KINDS[rest]}_{part}"
    return None
