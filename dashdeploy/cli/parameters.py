"""Parameters in the library's messages, spelled as the options of the command that was run.

The library knows nothing of the command line: its messages name parameters in backticks (see `dashdeploy.errors`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ALIASES: Mapping[str, str] = {
    "api_keys": "api_key_file",
    "delay": "batch_delay",
    "input_shapes": "input_shape",
    "latency_device": "device",
    "latency_target": "target",
    "max_rows": "max_batch",
    "max_seconds": "max_time",
    "preferred": "preferred_batches",
}
"""Parameters of the library whose option has another name."""

_PARAMETER = re.compile(r"`([a-z_][a-z0-9_]*)(?:=([^`]*))?`")


def invoked_command(context: Any, words: list[str]) -> Any:  # noqa: ANN401 - typer does not export click's types
    """The command that `words` name, from the group of `context` down."""
    command = context.command
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None or word not in commands:
            break
        command = commands[word]
    return command


def with_options(message: str, command: Any) -> str:  # noqa: ANN401 - as above
    """`message` with each of its parameters spelled as the option of `command` that sets it.

    A parameter becomes its flag, one with a value the flag and the value, a switch the flag alone. What `command` has
    no option for stays as it is.
    """
    options = {
        parameter.name: parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name
    }

    def spelled(match: re.Match[str]) -> str:
        name, value = match.groups()
        option = options.get(_ALIASES.get(name, name))
        if option is None:
            return match.group()
        flag: str = next(word for word in option.opts if word.startswith("--"))
        if value is None or (option.is_flag and value == "True"):
            return flag
        if option.is_flag and value == "False" and option.secondary_opts:
            return str(option.secondary_opts[0])
        return f"{flag} {value}"

    return _PARAMETER.sub(spelled, message)
