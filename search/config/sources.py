"""Settings from where users write them: a preset, a JSON file, ``name=value`` words, and options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dashdeploy.errors import InputError
from dashdeploy.search.config.settings import PRESETS, SearchSettings


def combined_settings(
    preset: str | None,
    config: Path | None,
    assignments: Iterable[str],
    options: Mapping[str, object],
    suited: Mapping[str, Mapping[str, Any]] | None = None,
) -> SearchSettings:
    """The settings of a run; what comes later wins.

    Args:
        preset: first, one of `PRESETS`; None takes the one that `config` names, or ``quick``. What `suited` has for
            it follows.
        config: second, a JSON file of settings by name, with a ``preset`` if it likes, or a run's ``config.json``.
        assignments: third, words such as ``momentum=0.95``.
        options: last, settings by name; None is not given.
        suited: what suits the task, by preset.

    Raises:
        InputError: a file, a name or a value is wrong.
    """
    read = {} if config is None else read_settings(config)
    named = read.pop("preset", None)
    values = {**read, **dict(map(parse_assignment, assignments))}
    values |= {name: value for name, value in options.items() if value is not None}
    if named is not None and named not in PRESETS:
        raise InputError(f"{config}: preset {named!r}: no such preset; choose from {', '.join(PRESETS)}")
    chosen = preset or named or "quick"
    return SearchSettings.preset(chosen, **{**(suited or {}).get(chosen, {}), **values})


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in the JSON file at `path`.

    Raises:
        InputError: it cannot be read, or is not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"`config={path}`: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise InputError(f"`config={path}`: not valid JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("settings"), dict):
        content = content["settings"]  # a run's own config.json
    if not isinstance(content, dict):
        raise InputError(
            f'`config={path}`: not an object; write settings by name, such as {{"momentum": 0.95}}'
        )
    return content


def parse_assignment(text: str) -> tuple[str, object]:
    """Read ``name=value``: the value is JSON, a list without brackets, or a word.

    Raises:
        InputError: the name or ``=`` is missing.
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InputError(f"`assignments={text}`: write it as name=value, such as `momentum=0.95`")
    return name.strip().replace("-", "_"), _value(value.strip())


def _value(text: str) -> object:
    for candidate in (text, f"[{text}]" if "," in text else text):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return [_value(part.strip()) for part in text.split(",")] if "," in text else text
