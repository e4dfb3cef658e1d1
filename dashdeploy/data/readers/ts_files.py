"""A data set of the UCR or UEA archive: NAME_TRAIN.ts and NAME_TEST.ts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.data.arrays.lengths import stacked
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.from_arrays import VALIDATION_SHARE, DataOptions, task_from_arrays
from dashdeploy.data.missing_values import fill_missing
from dashdeploy.data.readers.npy_folder import sha256_of_all
from dashdeploy.data.readers.ts_format import read_ts
from dashdeploy.data.task import Kind, Task

TRAIN, TEST = "_TRAIN.ts", "_TEST.ts"


def load_ts(
    path: Path,
    *,
    seed: int = 0,
    options: DataOptions | None = None,
    name: str | None = None,
    source: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    validation_share: float = VALIDATION_SHARE,
) -> Task:
    """Make a task of a pair of ``.ts`` files.

    Args:
        path: either file of the pair, or the folder that holds one pair.
        seed: chooses what is held out of the training data for validation.
        options: the loss, the metric, the scaling, and what becomes of missing values, time stamps and several
            lengths. What is predicted stands in the files.
        name: of the task; the data set's name by default.
        source: for the record; the files by default.
        settings: search settings that suit the data, by preset.
        validation_share: the part of the training data that is held out.

    Raises:
        InputError: the pair is not whole, or a file cannot be used; the message names the line and the fix.
    """
    options = options or DataOptions()
    train_path, test_path = _pair(path)
    how = options.missing or "interpolate"
    train = read_ts(train_path, missing=how, timestamps=options.timestamps)
    test = read_ts(test_path, train, missing=how, timestamps=options.timestamps)
    if len(train.series[0]) != len(test.series[0]):
        refuse(
            test_path,
            f"its series have {len(test.series[0])} channels, those of {train_path.name} {len(train.series[0])}",
            "use two files of one data set",
        )
    kind: Kind = "regression" if train.classes is None else "classification"
    if options.predict not in (None, kind):
        refuse(train_path, f"it is made for {kind}", f"leave out `predict={options.predict}`")
    if source is None:
        files = (train_path, test_path)
        source = {"path": str(train_path.resolve().parent), "sha256": sha256_of_all(files)}
    series = {"train": train.series, "test": test.series}
    notes: tuple[str, ...] = ()
    grid_note: tuple[str, ...] = ()
    if train.grid is not None:
        step = train.grid.words()
        grid_note = (
            f"series with time stamps are interpolated to steps of {step}, the median of the training data",
        )
        source = {**source, "timestamps": f"steps of {step}"}
    if how != "refuse":
        series, notes = fill_missing(train_path, series, how)
        source = {**source, "missing": how} if notes else source
    arrays: dict[str, Array] = {f"x_{part}": stacked(split) for part, split in series.items()}
    arrays |= {"y_train": train.targets, "y_test": test.targets}
    lengths = {part: np.array([each.shape[1] for each in split]) for part, split in series.items()}
    several = len(np.unique(np.concatenate(list(lengths.values())))) > 1
    if train.classes is not None:
        arrays["labels"] = np.array(train.classes)
    return task_from_arrays(
        name or train_path.name.removesuffix(TRAIN),
        train_path,
        arrays,
        replace(options, predict=kind, layout="channels-first", timestamps="refuse"),
        seed=seed,
        source=source,
        settings=settings,
        validation_share=validation_share,
        notes=(*grid_note, *notes),
        lengths=lengths if several else None,
        padding=False,
    )


def _pair(path: Path) -> tuple[Path, Path]:
    """The training and the test file that `path` means."""
    if path.is_dir():
        found = sorted(path.glob("*" + TRAIN))
        if len(found) > 1:
            names = ", ".join(each.name for each in found[:6])
            refuse(path, f"it holds {len(found)} data sets ({names})", "name one of these files")
        if not found:
            refuse(path, f"it holds no file NAME{TRAIN}", "copy both files of the data set there")
        path = found[0]
    end = next((end for end in (TRAIN, TEST) if path.name.endswith(end)), None)
    if end is None:
        refuse(path, "its name does not tell the data set", f"name the files NAME{TRAIN} and NAME{TEST}")
    name = path.name.removesuffix(end)
    return path.with_name(name + TRAIN), path.with_name(name + TEST)
