r"""What the library's messages call by Python's names, spelled as the command line has it.

The library knows nothing of the command line. Its messages hold, in backticks (see `dashdeploy.errors`):

- parameters, alone or with a value: ``\`out\```, ``\`tune=estimate\```, ``\`resume=True\```, which become options of
  the command that was run;
- calls of stages: ``\`export('RUN', trt=True)\```, which become whole commands.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from typing import Any

_ALIASES: Mapping[str, str] = {
    "api_keys": "api_key_file",
    "delay": "batch_delay",
    "folder": "save",
    "input_shapes": "input_shape",
    "latency_device": "device",
    "latency_target": "target",
    "max_rows": "max_batch",
    "max_seconds": "time_limit",
    "preferred": "preferred_batches",
    "states": "state",
}
"""Parameters of the library whose option has another name."""

_ASSIGNMENTS = "assignments"
"""The option ``--set NAME=VALUE``, for settings that have no option of their own."""

_FALLBACKS = ("export", "search")
"""Whose options a message may mean that names a parameter which the command that was run does not have: what a bundle
was exported with, or a run was searched with."""

_PARAMETER = re.compile(r"`([a-z_][a-z0-9_]*)(?:=([^`]*))?`")
_CALL = re.compile(r"`([a-z]+\([^`]*\))`")


class _Invoked:
    """The context of the command that was run: a process runs one, in whichever of its threads."""

    context: Any = None


def remember_invoked(context: Any) -> None:  # noqa: ANN401 - typer does not export click's types
    """Note that the command of `context` is the one that was run."""
    _Invoked.context = context


def spelled(message: str) -> str:
    """`message` as the command that was run spells it; as it is where none was."""
    context = _Invoked.context
    return message if context is None else with_options(message, context.command, context.find_root().command)


def with_options(message: str, command: Any, root: Any = None) -> str:  # noqa: ANN401 - as above
    """`message` with each of its parameters spelled as the option of `command` that sets it.

    A parameter becomes its flag, one with a value the flag and the value, a switch the flag alone. A setting of a
    search that has no option of its own becomes ``--set NAME=VALUE``, if `command` has that. What `command` has no
    option for stays as it is.

    Args:
        message: with parameters and calls of stages in backticks.
        command: the command that was run.
        root: the group of all commands. With it, calls of stages become their commands, and what `command` has no
            option for is looked for in `_FALLBACKS`.
    """
    commands = [command]
    if root is not None:
        message = _CALL.sub(lambda match: _command_line(match.group(1), root) or match.group(), message)
        commands += [root.commands[name] for name in _FALLBACKS]

    def spelled_parameter(match: re.Match[str]) -> str:
        name, value = match.groups()
        assignments = _option(command, _ASSIGNMENTS)
        if assignments is not None and _option(command, name) is None and _is_setting(name):
            flag, content = _words(assignments, name if value is None else f"{name}={value}")
            return f"{flag} {shlex.quote(content) if '{' in content else content}"
        option = next(filter(None, (_option(each, name) for each in commands)), None)
        return match.group() if option is None else " ".join(_words(option, value))

    return _PARAMETER.sub(spelled_parameter, message)


def _command_line(call: str, root: Any) -> str | None:  # noqa: ANN401 - as above
    """The command that does what the call of a stage does; None without such a command."""
    try:
        tree = ast.parse(call, mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            return None
        command = root.commands[tree.func.id]
        words = ["dashdeploy", tree.func.id, *(str(ast.literal_eval(each)) for each in tree.args)]
        for keyword in tree.keywords:
            option = _option(command, str(keyword.arg))
            if option is None:
                return None
            value = ast.literal_eval(keyword.value)
            words += _words(option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value))
    except (SyntaxError, ValueError, KeyError):
        return None
    return shlex.join(words)


def _option(command: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """The option of `command` that sets the parameter `name`; None if it has none."""
    options = {each.name: each for each in command.params if each.param_type_name == "option"}
    return options.get(name) or options.get(_ALIASES.get(name, name))


def _words(option: Any, value: str | None) -> list[str]:  # noqa: ANN401 - as above
    """An option with its value, as they are typed."""
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
