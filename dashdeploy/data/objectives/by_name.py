"""Choosing a loss or a metric by the kind of task and by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from dashdeploy.data.task import Kind
from dashdeploy.errors import InputError

Choice = TypeVar("Choice")


def by_name(
    option: str, noun: str, choices: Mapping[Kind, Mapping[str, Choice]], kind: Kind, name: str | None
) -> tuple[str, Choice]:
    """The choice called `name` among those of `kind`; its first if there is no name.

    Args:
        option: the option's name, for the message.
        noun: what is chosen, for the message.
        choices: what each kind of task can have, by name.
        kind: of the task.
        name: what the user wrote.

    Raises:
        InputError: there is no such choice, or it belongs to another kind of task.
    """
    known = choices[kind]
    if name is None:
        return next(iter(known.items()))
    if name in known:
        return name, known[name]
    elsewhere = [other for other, its in choices.items() if name in its]
    if elsewhere:
        raise InputError(
            f"{option} {name} is for {elsewhere[0]}, and the task is {kind}; choose from {', '.join(known)}, "
            f"or add --predict {elsewhere[0]}"
        )
    close = get_close_matches(name, known, 1)
    raise InputError(
        f"{option} {name}: no such {noun}; "
        + (f"did you mean {close[0]}?" if close else f"for {kind} choose from {', '.join(known)}")
    )
