"""What the library's messages call by Python's names, spelled as the command line has it.

The library knows nothing of the command line: its messages hold parameters and calls of stages in backticks (see
`dashdeploy.errors`). A parameter becomes the option of the command that was run, a call the whole command.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

_ASSIGNMENTS = "assignments"
"""The option ``--set NAME=VALUE``, for settings that have no option of their own."""

_PARAMETER = re.compile(r"`([a-z_][a-z0-9_]*)(?:=([^`]*))?`")
_CALL = re.compile(r"`([a-z]+\(.*?\))`")

_running: list[tuple[Any, Any]] = []
"""The command that runs and the group that it belongs to, the innermost last."""


def invoked_command(context: Any, words: list[str]) -> Any:  # noqa: ANN401 - typer does not export click's types
    """The command that `words` name, from the group of `context` down."""
    command = context.command
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None or word not in commands:
            break
        command = commands[word]
    return command


@contextmanager
def running(command: Any, root: Any) -> Iterator[None]:  # noqa: ANN401 - as above
    """Note for `spelled` that `command`, of the group `root`, runs."""
    _running.append((command, root))
    try:
        yield
    finally:
        _running.pop()


def spelled(message: str) -> str:
    """`message` as the command that runs spells it; as it is where none does."""
    return with_options(message, *_running[-1]) if _running else message


def with_options(message: str, command: Any, root: Any = None) -> str:  # noqa: ANN401 - as above
    """`message` with each of its parameters spelled as the option of `command` that sets it.

    A parameter becomes its flag, one with a value the flag and the value, a switch the flag alone. A setting of a
    search that has no option of its own becomes ``--set NAME=VALUE``, if `command` has that. What `command` has no
    option for stays as it is.

    Args:
        message: with parameters and calls of stages in backticks.
        command: the command that was run.
        root: the group of all commands. With it, calls of stages become their commands, and what `command` has no
            option for is taken for one of ``export``: bench, verify and serve name what a bundle was exported with.
    """
    own, exports = _options(command), {}
    if root is not None:
        message = _CALL.sub(lambda match: _command_line(match.group(1), root) or match.group(), message)
        exports = _options(root.commands["export"])

    def spelled_parameter(match: re.Match[str]) -> str:
        name, value = match.groups()
        option_name = _ALIASES.get(name, name)
        if option_name in own:
            return " ".join(_words(own[option_name], value))
        if _ASSIGNMENTS in own and _is_setting(name):
            return " ".join(_words(own[_ASSIGNMENTS], name if value is None else f"{name}={value}"))
        if option_name in exports:
            return " ".join(_words(exports[option_name], value))
        return match.group()

    return _PARAMETER.sub(spelled_parameter, message)


def _command_line(call: str, root: Any) -> str | None:  # noqa: ANN401 - as above
    """The command that does what the call of a stage does; None where there is no such command."""
    try:
        tree = ast.parse(call, mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            return None
        command = root.commands[tree.func.id]
        words = ["dashdeploy", tree.func.id, *(str(ast.literal_eval(each)) for each in tree.args)]
        options = _options(command)
        for keyword in tree.keywords:
            value = ast.literal_eval(keyword.value)
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += _words(options[_ALIASES.get(str(keyword.arg), str(keyword.arg))], text)
    except (SyntaxError, ValueError, KeyError):
        return None
    return shlex.join(words)


def _options(command: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The options of a command by the names of their parameters."""
    return {
        parameter.name: parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name
    }


def _words(option: Any, value: str | None) -> list[str]:  # noqa: ANN401 - as above
    """An option with its value as it is typed."""
    flag: str = next(word for word in option.opts if word.startswith("--"))
    if value is None or (option.is_flag and value == "True"):
        return [flag]
    if option.is_flag and value == "False" and option.secondary_opts:
        return [str(option.secondary_opts[0])]
    return [flag, value]


def _is_setting(name: str) -> bool:
    """Whether a search has a setting of this name."""
    # Only now: it imports torch, and most commands end without a message.
    from dashdeploy.search.config.settings import SearchSettings

    return name in SearchSettings.model_fields
