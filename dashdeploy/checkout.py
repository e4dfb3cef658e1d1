"""What is said where the stages are missing: in a checkout without symbolic links.

``dashdeploy/search``, ``export`` and ``bench`` are symbolic links of the repository. Where git is told not to make
any, as on Windows by default, it writes each as a text file with the link's target. Wheels have folders there.
`dashdeploy/__init__.py` looks, and imports this module only when something is wrong.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

STAGES = ("search", "export", "bench")

_MISSING_CAPABILITY = 3
"""The exit code of `dashdeploy.errors.MissingCapabilityError`, for the time before anything can be imported."""


def refuse_missing_stages(package: Path) -> None:
    """Say that the folder `package` of dashdeploy lacks a stage, and how to get it.

    A package that is not a folder, but lies in a zip file, is left alone.

    Raises:
        ImportError: a program imports dashdeploy.
        SystemExit: dashdeploy was started as a command; the message is printed.
    """
    lost = [stage for stage in STAGES if not (package / stage).is_dir()]
    if not lost or not package.is_dir():
        return
    links = " ".join(f"{package.name}/{stage}" for stage in lost)
    message = (
        f"{package / lost[0]} must be a symbolic link to ../{lost[0]}, but this checkout was made without symbolic "
        f"links; run: git config core.symlinks true, then: git checkout -- {links} (on Windows, turn on Developer "
        "Mode first), or install a wheel"
    )
    if _is_command():
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(_MISSING_CAPABILITY)
    raise ImportError(message)


def _is_command() -> bool:
    """Whether ``dashdeploy …`` or ``python -m dashdeploy …`` was called, rather than a program of the user's."""
    return Path(sys.argv[0]).stem == "dashdeploy" or ("-m", "dashdeploy") in pairwise(sys.orig_argv)
