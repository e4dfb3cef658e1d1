"""Arguments of the measurements that are refused before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dashdeploy.errors import InputError


def check_seconds(seconds: float) -> None:
    """Refuse a time to measure for that is not a time.

    Args:
        seconds: the value of the parameter of that name.

    Raises:
        InputError: it is not above 0, or has no end.
    """
    if not 0 < seconds < float("inf"):
        raise InputError(f"`seconds={seconds:g}`: use a number above 0")


def check_count(name: str, count: int) -> None:
    """Refuse a number of things that is below 1.

    Args:
        name: the parameter's name, for the message.
        count: its value.

    Raises:
        InputError: it is below 1.
    """
    if count < 1:
        raise InputError(f"`{name}={count}`: use an integer from 1 up")


def suggestion(word: str, known: Iterable[str]) -> str:
    """What to write instead of `word`: the name that is closest to it, or one of all."""
    names = list(known)
    close = get_close_matches(word, names, 1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}"
