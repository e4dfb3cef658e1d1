"""What a run is started with: ``config.json``, and whether a resumed run is the same one."""

from __future__ import annotations

import json
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.run import CONFIG_NAME
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.settings import SearchSettings

# What must not change between the interrupted and the resumed run; other versions of the tools may.
BINDING = ("settings", "task", "input_shape", "outputs", "samples", "source")


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
            "or choose another `out`"
        )


def _differences(name: str, before: object, now: object) -> list[tuple[str, object, object]]:
    """What differs, as (name, before, now); of two objects entry by entry, where a missing one is None."""
    if isinstance(before, dict) and isinstance(now, dict):
        entries = [(key, before.get(key), now.get(key)) for key in {**now, **before}]
        # A data file may have moved; its sha256 tells whether it is the same.
        return [(key, old, new) for key, old, new in entries if key != "path" and old != new]
    return [] if before == now else [(name, before, now)]
