"""Values of options that are more than one word: lists of integers, version policies, times, and shapes of inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from dashdeploy.errors import InputError

if TYPE_CHECKING:
    from dashdeploy.serve.settings import VersionPolicy


def positive_integers(option: str, text: str, *, noun: str) -> list[int]:
    """Read a list such as ``3,5,7``.

    Args:
        option: the option's name, for the message.
        text: what the user wrote.
        noun: what one entry is, for the message (``dilation``).

    Returns:
        The integers in the order they were written.

    Raises:
        InputError: an entry is not an integer from 1 up, comes twice, or there is none.
    """
    where = f"{option} {text}"
    entries = [entry.strip() for entry in text.split(",")]
    if entries == [""]:
        raise InputError(f"{option} is empty; give at least one {noun}, such as {option} 3")
    values: list[int] = []
    for entry in entries:
        # int() alone would also take 1_000 and digits of other scripts.
        if not (entry.isascii() and entry.isdigit() and int(entry) > 0):
            raise InputError(f"{where}: {noun} {entry or '(empty)'} is not a {noun}; use integers from 1 up")
        if int(entry) in values:
            raise InputError(f"{where}: {noun} {entry} appears twice; name each once")
        values.append(int(entry))
    return values


def version_policy(option: str, text: str) -> tuple[str, VersionPolicy]:
    """Read ``latest:2`` or ``mnist1d=specific:1,3``: the model's name, empty for all models, and its policy.

    Raises:
        InputError: it is not a version policy.
    """
    from dashdeploy.serve.settings import VersionPolicy

    name, _, policy = text.rpartition("=")
    kind, _, numbers = policy.partition(":")
    if kind not in ("all", "latest", "specific") or (kind == "all" and numbers):
        raise InputError(
            f"{option} {text}: not a policy; write all, latest:N or specific:N,N, after MODEL= if for one"
        )
    if kind == "all":
        return name, VersionPolicy()
    versions = positive_integers(
        option, numbers, noun="number of versions" if kind == "latest" else "version"
    )
    if kind == "specific":
        return name, VersionPolicy(specific=tuple(sorted(versions)))
    if len(versions) > 1:
        raise InputError(
            f"{option} {text}: one number says how many; for single versions write specific:{numbers}"
        )
    return name, VersionPolicy(latest=versions[0])


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def duration(option: str, text: str, *, example: str) -> float:
    """Read a time such as ``2ms``, ``30m`` or ``1.5h``, in seconds.

    Raises:
        InputError: it is not a positive number with a unit.
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-z]+)", text.strip())
    if match is None or match[2] not in _UNITS or not float(match[1]) > 0:
        raise InputError(
            f"{option} {text}: not a time; write a number and one of {', '.join(_UNITS)}, such as {example}"
        )
    return float(match[1]) * _UNITS[match[2]]


_BYTES = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def byte_size(option: str, text: str) -> int:
    """Read an amount of memory such as ``4G``, ``512MiB`` or ``1.5G``, in bytes; units are powers of 1024.

    Raises:
        InputError: it is not a positive number with a unit or without one.
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    size = 0 if match is None else int(float(match[1]) * 2 ** _BYTES[match[2].upper()])
    if size < 1:
        raise InputError(
            f"{option} {text}: not an amount of memory; write a number and K, M, G or T, such as {option} 4G"
        )
    return size


def height_and_width(option: str, text: str) -> tuple[int, int]:
    """Read a size of images such as ``64x48``, height first, or ``64`` for squares.

    Raises:
        InputError: it is neither.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text.strip(), re.ASCII)
    if match is None:
        raise InputError(
            f"{option} {text}: not a size; write height and width in pixels, such as {option} 64x48"
        )
    return int(match[1]), int(match[2] or match[1])


def input_shapes(option: str, texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read shapes such as ``x=1,1,1000``.

    Raises:
        InputError: an entry is not of the form ``name=integers`` or names an input twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, separator, axes = text.partition("=")
        lengths = axes.split(",")
        if not (
            name and separator and all(axis.isascii() and axis.isdigit() and int(axis) for axis in lengths)
        ):
            raise InputError(f"{option} {text}: not a shape; write {option} name=1,1,1000, lengths from 1 up")
        if name in shapes:
            raise InputError(f"{option} {text}: {name} appears twice; name each input once")
        shapes[name] = tuple(int(axis) for axis in lengths)
    return shapes


def state_pairs(option: str, texts: Iterable[str]) -> dict[str, str] | Literal["auto"]:
    """Read pairs of an input and the output that is its next value, such as ``h0=hn``, or the word ``auto``.

    Raises:
        InputError: an entry is not of the form ``input=output``, names an input twice, or stands beside ``auto``.
    """
    entries = list(texts)
    if entries == ["auto"]:
        return "auto"
    pairs: dict[str, str] = {}
    for text in entries:
        name, _, next_name = text.partition("=")
        if text == "auto":
            raise InputError(f"{option} auto finds every state; leave the other ones out")
        if not (name and next_name):
            raise InputError(f"{option} {text}: not a pair; write {option} INPUT=OUTPUT, or {option} auto")
        if name in pairs:
            raise InputError(f"{option} {text}: {name} appears twice; name each input once")
        pairs[name] = next_name
    return pairs
