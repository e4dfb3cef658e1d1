r"""The errors that end a command, each with its exit code (0 is done, 2 is typer's usage error).

The command line prints the message alone, so a message is one line that says what is wrong, where, and how to
correct it. A message names parameters of the Python API in backticks, alone or with a value: ``\`out\```,
``\`tune=estimate\```, ``\`resume=True\```. Where another run of a stage corrects it, the message holds that call, as
`stage_call` writes it. Python users read both as they are; `dashdeploy.cli.parameters` gives them the spelling of the
command line.
"""

from __future__ import annotations

from pathlib import PurePath


class DashdeployError(Exception):
    """Base of every error that a user can correct."""

    exit_code = 1


class InputError(DashdeployError):
    """The user's input was wrong: a file, a value, a shape."""

    exit_code = 1


class MissingCapabilityError(DashdeployError):
    """This machine lacks a package, a driver or a device; the message has the command that installs it."""

    exit_code = 3


class GateError(DashdeployError):
    """The parity gate or the speed gate failed; nothing was written."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """What an exception of another library says, in one line; its class if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def stage_call(stage: str, *arguments: object, **parameters: object) -> str:
    r"""A call of a stage that corrects an error, in backticks: ``\`export('RUN', torchscript=True)\```.

    Args:
        stage: ``search``, ``export``, ``bench`` or ``serve``.
        arguments: what it is given by position; names in capitals stand for what the reader has.
        parameters: what it is given by name, in order.
    """
    words = [_literal(value) for value in arguments]
    words += [f"{name}={_literal(value)}" for name, value in parameters.items()]
    return f"`{stage}({', '.join(words)})`"


def _literal(value: object) -> str:
    return repr(str(value)) if isinstance(value, (str, PurePath)) else repr(value)
