"""The staging directory: the unfinished run beside its final name, one process's alone, renamed when it is finished.

It is called ``OUT.partial``. Every finished phase leaves its mark there, ``checkpoints/PHASE.json``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dashdeploy.artifacts.atomic import NO_ROOM, write_text_atomically
from dashdeploy.artifacts.run import CONFIG_NAME
from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import PhaseName
from dashdeploy.search.staging.run_config import check_same

CHECKPOINTS_NAME = "checkpoints"
LOCK_NAME = ".lock"
STAGING_SUFFIX = ".partial"


def staging_path(out: Path) -> Path:
    """Where a run that will be called `out` is built."""
    return out.with_name(out.name + STAGING_SUFFIX)


def check_startable(out: Path, *, resume: bool) -> None:
    """Refuse before long work what `open_staging_directory` would refuse after it, as far as it can be known.

    Raises:
        InputError: there is an unfinished run and `resume` is false, or the folder cannot be made.
    """
    folder = staging_path(out)
    if folder.exists() and not resume:
        raise InputError(
            f"{folder} is an unfinished run; add `resume=True` to continue it, or delete that folder"
        )
    parent = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        problem = os.strerror(errno.EACCES if parent.is_dir() else errno.ENOTDIR)
        raise InputError(f"cannot write {folder}: {problem}; choose an `out` that is writable and has room")


@contextmanager
def open_staging_directory(out: Path, config: dict[str, Any], *, resume: bool) -> Iterator[Path]:
    """Make the unfinished run's folder, or take up the one that is there, and keep other processes out of it.

    Raises:
        InputError: there is one and `resume` is false, it was started with something else, or another process
            is at work on it.
    """
    check_startable(out, resume=resume)
    folder = staging_path(out)
    if (folder / CONFIG_NAME).exists():
        check_same(folder, config)
    (folder / CHECKPOINTS_NAME).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_NAME, blocking=False)
    try:
        with lock:
            _remove_leftovers(folder)
            if not (folder / CONFIG_NAME).exists():
                write_json(folder / CONFIG_NAME, config)
            yield folder
    except Timeout as error:
        raise InputError(f"another process is working on {folder}; wait, or choose another `out`") from error


def refuses_writing(error: OSError, folder: Path) -> bool:
    """Whether `error` is about the run in `folder`, and not, say, about a file that a data set reads."""
    if error.filename is None:
        return error.errno in NO_ROOM
    named, folder = Path(os.fsdecode(error.filename)).absolute(), folder.absolute()
    return named == folder or folder in named.parents or named in folder.parents


def finish_staging_directory(folder: Path, out: Path) -> None:
    """Give the finished run its name.

    Raises:
        InputError: something else has got that name meanwhile.
    """
    _remove_leftovers(folder)
    if out.exists():
        raise InputError(
            f"{out} appeared during the run; move it away, then finish {folder} with `resume=True`"
        )
    (folder / LOCK_NAME).unlink(missing_ok=True)
    folder.rename(out)


def _remove_leftovers(folder: Path) -> None:
    """Delete files that were being written when the process was killed."""
    for pattern in ("*.part", ".*.*.*"):  # of checkpoints, and of `dashdeploy.artifacts.atomic`
        for path in folder.rglob(pattern):
            path.unlink()


def phase_result(folder: Path, phase: PhaseName) -> dict[str, Any] | None:
    """What a finished phase left (its seconds and best epoch), or None if it is not finished.

    Raises:
        InputError: the mark is damaged.
    """
    path = folder / CHECKPOINTS_NAME / f"{phase}.json"
    try:
        result: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); delete it to continue from the phase's last epoch or trial, and resume"
        ) from error
    return result


def finish_phase(folder: Path, phase: PhaseName, result: dict[str, Any]) -> None:
    """Mark a phase as finished; the last thing that is written of it."""
    write_json(folder / CHECKPOINTS_NAME / f"{phase}.json", result)


def write_json(path: Path, content: object) -> None:
    """Write JSON for people and machines, all of it or nothing."""
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")
