"""``module:name``: something of the user's own, from a module on the path or beside the working directory."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashdeploy.errors import InputError

PROGRAM = "__main__"
"""What Python calls the module that a program starts with: another one in every program."""


def is_reference(text: str) -> bool:
    """Whether `text` has the form ``module:name``."""
    return ":" in text


def load_reference(parameter: str, text: str) -> Callable[..., Any]:
    """Import what ``module:name`` names; the working directory is looked in as well.

    Not by `pkgutil.resolve_name`, which refuses modules whose name is not an identifier (``my-net.py``) and does not
    tell an import that fails from a name that is absent.

    Args:
        parameter: the parameter that holds the reference, for the message.
        text: such as ``mine.networks:unet``.

    Raises:
        InputError: the module or name does not exist, importing it fails, or it cannot be called.
    """
    where = f"`{parameter}={text}`"
    module_name, _, name = text.partition(":")
    if not module_name or not name:
        missing = "function" if module_name else "module"
        raise InputError(f"{where}: name the {missing}, as in mine.networks:unet")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{where}: {error}; write module:name for a module that is installed or lies in {here}"
        ) from error
    except Exception as error:
        raise InputError(f"{where}: importing {module_name} fails: {error!r}") from error
    found = getattr(module, name, None)
    if not callable(found):
        names = ", ".join(
            each for each in dir(module) if not each.startswith("_") and callable(getattr(module, each))
        )
        if module_name == PROGRAM:
            raise InputError(
                f"{where}: {name} was a part of the program that ran the search, and is none of this one; do "
                f"this from that program, or move {name} to a module and search with it"
            )
        raise InputError(f"{where}: {module_name} has no function {name!r}; it has {names or 'none'}")
    factory: Callable[..., Any] = found
    return factory
