"""Histories for other tools: TensorBoard's event files, and CSV."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from dashdeploy.artifacts.run import HISTORY_NAME
from dashdeploy.errors import MissingCapabilityError
from dashdeploy.search.config.settings import SearchSettings

FOLDER_NAME = "logs"
CSV_NAME = "metrics.csv"
COLUMNS = ("phase", "epoch", "train_loss", "validation_loss")


def check_logger(settings: SearchSettings) -> None:
    """Find out before long work whether the logger can be had.

    Raises:
        MissingCapabilityError: it is TensorBoard's, and no package for it is installed.
    """
    if settings.log == "tensorboard" and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise MissingCapabilityError(
            "log = tensorboard needs the package tensorboard; install it with: pip install tensorboard"
        )


def logger_of(settings: SearchSettings, folder: Path, phase: str) -> Logger | bool:
    """Lightning's logger for one phase; False for none."""
    if settings.log != "tensorboard":
        return False
    return TensorBoardLogger(str(folder / FOLDER_NAME), name=None, version=phase)


def write_csv(folder: Path) -> None:
    """Write the history of the run in `folder` as a table as well."""
    records = [json.loads(line) for line in (folder / HISTORY_NAME).read_text(encoding="utf-8").splitlines()]
    metric = next(key for key in records[0] if key.startswith("validation_") and key != "validation_loss")
    with (folder / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, metric], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)
