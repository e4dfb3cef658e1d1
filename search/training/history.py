"""``metrics.jsonl``: one line per epoch of every phase; a resumed run's has no gap and no repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.artifacts.run import HISTORY_NAME


def append_record(folder: Path, record: dict[str, Any]) -> None:
    """Add one epoch."""
    with (folder / HISTORY_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def forget_from(folder: Path, phase: str, epoch: int) -> None:
    """Drop the epochs of `phase` from `epoch` on: their checkpoint was not written, so they run again.

    A last line that was cut short by the interruption goes too.
    """
    path = folder / HISTORY_NAME
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not (record["phase"] == phase and record["epoch"] >= epoch):
            kept.append(line + "\n")
    write_text_atomically(path, "".join(kept))
