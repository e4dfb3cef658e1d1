"""The project's JSON files: the models that they are read into and written from, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dashdeploy.errors import InputError


class FrozenModel(BaseModel):
    """A pydantic model without setters, which refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def first_problem(error: ValidationError) -> str:
    """Where a file's content does not fit its model and why, in a line: the first of what pydantic found."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def read_optional(path: Path, show: Callable[[Mapping[str, Any]], object]) -> dict[str, Any] | None:
    """What a phase that not every run has wrote; None where there was none.

    Args:
        path: the file.
        show: shows it; what cannot be shown was damaged.

    Raises:
        InputError: the file was damaged.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        show(content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: it cannot be read ({error}); delete it, or search again") from error
    return content
