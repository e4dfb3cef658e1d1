"""The unfinished run beside its final name: what it was started with, and which phases it has finished."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dashdeploy.artifacts.atomic import NO_ROOM, write_text_atomically
from dashdeploy.artifacts.run import CONFIG_NAME
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.training.checkpoint import FOLDER_NAME

LOCK_NAME = ".lock"

# What must not change between the interrupted and the resumed run; other versions of the tools may.
BINDING = ("settings", "task", "input_shape", "outputs", "samples", "source")


def partial_path(out: Path) -> Path:
    """Where a run that will be called `out` is built."""
    return out.with_name(out.name + ".partial")


def run_config(task: Task, settings: SearchSettings) -> dict[str, Any]:
    """The content of ``config.json``: all that the run was started with."""
    return {
        "task": task.name,
        "source": dict(task.source),
        "input_shape": list(task.input_shape),
        "dense": task.dense,
        "outputs": task.outputs,
        "labels": list(task.labels),
        "kind": task.kind,
        "scaling": task.scaling.to_json(),
        "metric": {"name": task.metric.name, "higher_is_better": task.metric.higher_is_better},
        "samples": {
            "train": len(task.train.targets),
            "validation": len(task.validation.targets),
            "test": len(task.test.targets),
        },
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json")
        | {"tune_storage": without_password(settings.tune_storage)},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("dashdeploy", "torch", "lightning", "numpy")},
        },
    }


def without_password(url: str) -> str:
    """A database's URL as it may be shown, and kept in a run that is given to others."""
    return re.sub("(://[^:/@]*):.*@", r"\1:***@", url)


@contextmanager
def open_partial(out: Path, config: dict[str, Any], *, resume: bool) -> Iterator[Path]:
    """Make the unfinished run's folder, or take up the one that is there, and keep other processes out of it.

    Raises:
        InputError: there is one and `resume` is false, it was started with something else, or another process
            is at work on it.
    """
    folder = partial_path(out)
    if folder.exists():
        if not resume:
            raise InputError(
                f"{folder} is an unfinished run; go on with it by adding --resume, or delete that folder"
            )
        if (folder / CONFIG_NAME).exists():
            check_same(folder, config)
    (folder / FOLDER_NAME).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_NAME, blocking=False)
    try:
        with lock:
            _remove_leftovers(folder)
            if not (folder / CONFIG_NAME).exists():
                write_json(folder / CONFIG_NAME, config)
            yield folder
    except Timeout as error:
        raise InputError(f"another process is at work on {folder}; wait, or choose another --out") from error


def refuses_writing(error: OSError, folder: Path) -> bool:
    """Whether `error` is about the run in `folder`, and not, say, about a file that a data set reads."""
    if error.filename is None:
        return error.errno in NO_ROOM
    named, folder = Path(os.fsdecode(error.filename)).absolute(), folder.absolute()
    return named == folder or folder in named.parents or named in folder.parents


def finish(folder: Path, out: Path) -> None:
    """Give the finished run its name.

    Raises:
        InputError: something else has got that name meanwhile.
    """
    _remove_leftovers(folder)
    if out.exists():
        raise InputError(
            f"{out} has appeared during the run; move it away, and finish {folder} with --resume"
        )
    (folder / LOCK_NAME).unlink(missing_ok=True)
    folder.rename(out)


def _remove_leftovers(folder: Path) -> None:
    """Delete files that were being written when the process was killed."""
    for pattern in ("*.part", ".*.*.*"):  # of checkpoints, and of `dashdeploy.artifacts.atomic`
        for path in folder.rglob(pattern):
            path.unlink()


def check_same(folder: Path, config: dict[str, Any]) -> None:
    """Compare what the unfinished run in `folder` was started with.

    Raises:
        InputError: it was something else.
    """
    try:
        before = json.loads((folder / CONFIG_NAME).read_bytes())
        differences = [each for name in BINDING for each in _differences(name, before[name], config[name])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / CONFIG_NAME} cannot be read ({error}); delete {folder}") from error
    for name, old, new in differences:
        raise InputError(
            f"{folder} was started with {name} = {old}, now it is {new}; resume with the same, "
            "or choose another --out"
        )


def _differences(name: str, before: object, now: object) -> list[tuple[str, object, object]]:
    """What differs, as (name, before, now); of two objects entry by entry, where a missing one is None."""
    if isinstance(before, dict) and isinstance(now, dict):
        entries = [(key, before.get(key), now.get(key)) for key in {**now, **before}]
        # A data file may have moved; its sha256 tells whether it is the same.
        return [(key, old, new) for key, old, new in entries if key != "path" and old != new]
    return [] if before == now else [(name, before, now)]


def phase_result(folder: Path, phase: str) -> dict[str, Any] | None:
    """What a finished phase left (its seconds and best epoch), or None if it is not finished."""
    path = folder / FOLDER_NAME / f"{phase}.json"
    result: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
    return result


def finish_phase(folder: Path, phase: str, result: dict[str, Any]) -> None:
    """Mark a phase as finished; the last thing that is written of it."""
    write_json(folder / FOLDER_NAME / f"{phase}.json", result)


def write_json(path: Path, content: object) -> None:
    """Write JSON for people and machines, all of it or nothing."""
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")
