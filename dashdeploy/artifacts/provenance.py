"""Where a figure or a model comes from: the machine, the date, the code and the command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.machine import describe_machine

_PACKAGES = ("dashdeploy", "torch", "numpy", "onnx", "onnxruntime", "openvino")


class Provenance(FrozenModel):
    """What is needed to judge a result and to repeat it.

    Attributes:
        machine: processor, cores, operating system.
        date: when it was made, UTC, ISO 8601.
        command: the command line of the process.
        commit: of dashdeploy's own sources, with ``+`` if they were changed since; None outside of a checkout.
        versions: of Python and of the packages that matter.
    """

    machine: str
    date: str
    command: str
    commit: str | None
    versions: dict[str, str]

    @classmethod
    def now(cls) -> Self:
        """This process, here and now."""
        return cls(
            machine=describe_machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command_line(),
            commit=_commit(),
            versions=_versions(),
        )


def command_line() -> str:
    """This process's command line, the interpreter and the folders in front left out."""
    program = Path(sys.argv[0]).name
    words = ["python", "-m", "dashdeploy"] if program == "__main__.py" else [program]
    return shlex.join([*words, *sys.argv[1:]])


def _commit() -> str | None:
    folder = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
