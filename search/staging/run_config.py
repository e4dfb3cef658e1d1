"""What a run is started with: ``config.json``, and whether a resumed run is the same one."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.run import CONFIG_NAME
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError, first_line
from dashdeploy.search.config.phases import TimePlan
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.version import __version__

# What must not change between the interrupted and the resumed run; other versions of the tools may.
BINDING = ("asked", "task", "input_shape", "outputs", "samples", "source")
UNKNOWN: Mapping[str, Any] = {
    "searched_arguments": {},
    "towers": 1,
    "reparameterize": False,
    "scale_samples": False,
}
"""What runs of versions without these settings did. What else they did not know, they did as by default."""


def run_config(task: Task, asked: SearchSettings, plan: TimePlan) -> dict[str, Any]:
    """The content of ``config.json``: all that the run was started with.

    Args:
        task: the data.
        asked: the settings as they were asked for.
        plan: what comes of them.
    """
    settings = plan.settings
    return {
        "task": task.name,
        "source": dict(task.source),
        "input_shape": list(task.given_shape),
        "dense": task.dense,
        "outputs": task.outputs,
        "labels": list(task.labels),
        "kind": task.kind,
        "scaling": task.scaling.to_json(),
        "metric": {"name": task.metric.name, "higher_is_better": task.metric.higher_is_better},
        "samples": {
            "train": len(task.train.targets),
            "validation": len(task.validation.targets),
            "test": 0 if task.test is None else len(task.test.targets),
        },
        "seed": settings.seed,
        "settings": _shown(settings),
        "asked": _shown(asked),
        "plan": dict(plan.seconds),
        "threads": plan.threads,
        "finishing": plan.finishing,
        "sizes": [dict(row) for row in plan.sizes],
        "preparing": plan.preparing,
        "versions": {
            "python": platform.python_version(),
            "dashdeploy": __version__,
            **{name: version(name) for name in ("torch", "lightning", "numpy")},
        },
    }


def stored_plan(folder: Path, asked: SearchSettings) -> TimePlan | None:
    """What the unfinished run in `folder` was going to do; None if there is none.

    Args:
        folder: the unfinished run.
        asked: has the password of the storage, which the run does not keep.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / CONFIG_NAME
    if not path.exists():
        return None
    try:
        config = json.loads(path.read_bytes())
        stored = {**UNKNOWN, **config["settings"], "tune_storage": asked.tune_storage}
        settings = RunSettings.model_validate(stored)
        later = {
            name: config[name] for name in ("threads", "finishing", "sizes", "preparing") if name in config
        }
        return TimePlan(settings, config["plan"], **later)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}); delete {folder}") from error


def _shown(settings: SearchSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json") | {"tune_storage": without_password(settings.tune_storage)}


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
        defaults = {**SearchSettings.preset("quick").model_dump(mode="json"), **UNKNOWN}
        same = {name: now for name, off in UNKNOWN.items() if (now := config["asked"][name]) in (None, off)}
        before["asked"] = defaults | same | before["asked"]
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
