"""Where a figure or a model comes from: the machine, the date, the code and the command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer

from dashdeploy.artifacts.gpu_state import GpuState, gpu_states
from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.machine import describe_machine

_PACKAGES = ("dashdeploy", "torch", "numpy", "onnx", "onnxruntime", "openvino")

_GIT_PLACES = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"})
"""Set where a hook of git starts a process; they would lead away from the folder that is asked for."""


class Provenance(FrozenModel):
    """What is needed to judge a result and to repeat it.

    Attributes:
        machine: processor, cores, operating system.
        date: when it was made, UTC, ISO 8601.
        command: the command line of the process.
        commit: of dashdeploy's own sources, with ``+`` if they were changed since; None where the
            package does not lie in a checkout of its own.
        versions: of Python and of the packages that matter.
        gpus: this machine's NVIDIA GPUs with driver and clocks, right after the work; empty where there are none.
    """

    machine: str
    date: str
    command: str
    commit: str | None
    versions: dict[str, str]
    gpus: tuple[GpuState, ...] = ()

    @model_serializer(mode="wrap")
    def _without_absent_gpus(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Earlier versions refuse a field that they do not know, and most machines have nothing to put there."""
        content: dict[str, Any] = serialized(self)
        return {name: value for name, value in content.items() if name != "gpus" or value}

    @classmethod
    def now(cls) -> Self:
        """This process, here and now."""
        return cls(
            machine=describe_machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command_line(),
            commit=commit_of(Path(__file__)),
            versions=_versions(),
            gpus=gpu_states(),
        )


def command_line() -> str:
    """This process's command line, the interpreter and the folders in front left out."""
    program = Path(sys.argv[0]).name
    words = ["python", "-m", "dashdeploy"] if program == "__main__.py" else [program]
    return shlex.join([*words, *sys.argv[1:]])


def commit_of(source: Path) -> str | None:
    """The commit that a source file of dashdeploy was read at, with ``+`` if the checkout was changed since.

    None where `source` is not tracked by a checkout of dashdeploy's own: an environment may lie within a user's
    repository, whose commit says nothing about dashdeploy.

    Args:
        source: a file of the package.
    """
    folder = source.resolve().parent
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root is None or _project_name(Path(root)) != "dashdeploy":
        return None
    if _git(folder, "ls-files", "--error-unmatch", "--", source.name) is None:
        return None
    return _git(folder, "describe", "--always", "--dirty=+", "--exclude=*")


def _git(folder: Path, *words: str) -> str | None:
    """What git says in `folder`; None where it fails, says nothing or is not there."""
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None


def _project_name(root: Path) -> str | None:
    """The name of the Python project in `root`; None where there is none."""
    try:
        content = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        name = content["project"]["name"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
