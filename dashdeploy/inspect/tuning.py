"""The tuning of a run, as `inspect` and the report show it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.json_files import read_optional
from dashdeploy.artifacts.run import TUNING_NAME


def read_tuning(run: Path) -> dict[str, Any] | None:
    """What the run in the folder `run` wrote of its tuning; None if it had none.

    Raises:
        InputError: the file was damaged.
    """
    return read_optional(run / TUNING_NAME, lambda content: (tuning_line(content), trial_table(content)))


def tuning_line(tuning: Mapping[str, Any]) -> str:
    """The hyperparameters that were chosen."""
    chosen = ", ".join(
        f"{name.replace('_', ' ')} {_shown(value)}" for name, value in _given(tuning["chosen"]).items()
    )
    return f"tuning ({tuning['way']}, {len(tuning['trials'])} trials): {chosen}"


def halves(tuning: Mapping[str, Any]) -> bool:
    """Whether trials ended at different rungs."""
    return any("rung" in trial for trial in tuning["trials"])


def trial_table(tuning: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """The headers, and a row per trial: its hyperparameters, how it ended, and its best figure.

    Of successive halving also how far it came: rung r is after 2 ** r epochs.
    """
    trials = tuning["trials"]
    known = [name for name in tuning["chosen"] if any(name in trial for trial in trials)]
    further = [name for name in ("epochs", "rung") if any(name in trial for trial in trials)]
    chosen = _given(tuning["chosen"])
    rows = [
        [
            trial["state"]
            + (", chosen" if _given({name: trial.get(name) for name in known}) == chosen else ""),
            trial["value"],
            *(trial.get(name) for name in further),
            *(trial.get(name) for name in known),
        ]
        for trial in trials
    ]
    return ["trial", "validation", *further, *(name.replace("_", " ") for name in known)], rows


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"
