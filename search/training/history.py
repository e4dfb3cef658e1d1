"""The history of a run: ``metrics.jsonl``, a line per epoch of every phase; and the same for other tools.

A resumed run's has no gap and no repeat. Other tools read it as CSV, or as TensorBoard's event files.
"""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.artifacts.run import HISTORY_NAME
from dashdeploy.errors import MissingCapabilityError
from dashdeploy.search.config.run_settings import RunSettings

LOGS_NAME = "logs"
CSV_NAME = "metrics.csv"
COLUMNS = ("phase", "epoch", "train_loss", "validation_loss")


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


def check_logger(settings: RunSettings) -> None:
    """Find out before long work whether the logger can be had.

    Raises:
        MissingCapabilityError: it is TensorBoard's, and no package for it is installed.
    """
    if settings.log == "tensorboard" and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise MissingCapabilityError(
            "log = tensorboard needs the package tensorboard; install it with: pip install tensorboard"
        )


def logger_of(settings: RunSettings, folder: Path, phase: str) -> Logger | bool:
    """Lightning's logger for one phase; False for none."""
    if settings.log != "tensorboard":
        return False
    return TensorBoardLogger(str(folder / LOGS_NAME), name=None, version=phase)


def write_csv(folder: Path) -> None:
    """Write the history of the run in `folder` as a table as well."""
    records = [json.loads(line) for line in (folder / HISTORY_NAME).read_text(encoding="utf-8").splitlines()]
    metric = next(key for key in records[0] if key.startswith("validation_") and key != "validation_loss")
    with (folder / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, metric], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)
