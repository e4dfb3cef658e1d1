"""A task of a table: one file, of which a test part is split off, or a pair NAME_TRAIN and NAME_TEST."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.readers.npy_folder import sha256_of_all
from dashdeploy.data.readers.tables.arff import read_arff
from dashdeploy.data.readers.tables.arrow_table import read_parquet, samples_of_frame
from dashdeploy.data.readers.tables.samples import Samples, first_text, typed_targets
from dashdeploy.data.readers.tables.text_table import read_text_table
from dashdeploy.data.task import Task

SUFFIXES = (".parquet", ".arff", ".tsv", ".csv", ".txt")
"""Of the files that are tables, in the order in which a folder is searched for them."""
_ARCHIVES = (".arff", ".tsv", ".txt")
"""Formats of the UCR and UEA archives, whose data sets are pairs."""
_PAIR = re.compile(r"(?:(?P<name>.+)[_-])?(?P<part>train|test)", re.IGNORECASE)


def is_table(path: Path) -> bool:
    """Whether `path` is a table, or a folder of tables."""
    if path.is_dir():
        return any(_in_folder(path, suffix) for suffix in SUFFIXES)
    return path.suffix.lower() in SUFFIXES


def load_table(path: Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of a table.

    Args:
        path: a file, either file of a pair NAME_TRAIN, NAME_TEST, or a folder that holds one data set.
        seed: chooses what is held out of the training data for validation, and for the test of a single file.
        options: what is predicted, by which column, the loss, the metric, the scaling.

    Raises:
        InputError: it cannot be used; the message names the line or row, and the column.
        MissingCapabilityError: the package that reads it is not installed.
    """
    options = options or DataOptions()
    train_path, test_path = _files(path)
    read = _reader(train_path, test_path)
    samples = {"train": read(train_path, options.target_column, None)}
    source = {"path": str(train_path.resolve()), "sha256": sha256_of(train_path)}
    name = train_path.stem
    if test_path is not None:
        samples["test"] = read(test_path, options.target_column, samples["train"])
        _check_agree(train_path, test_path, samples["train"], samples["test"])
        files = (train_path, test_path)
        source = {"path": str(train_path.resolve().parent), "sha256": sha256_of_all(files)}
        name = _name(train_path)
    return _task(name, train_path, samples, options, seed, source, test_path)


def load_frame(frame: Any, *, seed: int = 0, options: DataOptions | None = None) -> Task:  # noqa: ANN401 - no pandas here
    """Make a task of a data frame with one sample in each row, as `load_table` does of a file.

    Args:
        frame: of pandas or polars, or an Arrow table.
        seed: chooses what is held out of the training data for validation and for the test.
        options: what is predicted, by which column, the loss, the metric, the scaling.

    Raises:
        InputError: it cannot be used; the message names the row and the column.
        MissingCapabilityError: pyarrow is not installed.
    """
    options = options or DataOptions()
    samples = {"train": samples_of_frame("data", frame, options.target_column)}
    return _task("table", "data", samples, options, seed, {}, None)


def _task(
    name: str,
    where: object,
    samples: Mapping[str, Samples],
    options: DataOptions,
    seed: int,
    source: Mapping[str, str],
    test_path: Path | None,
) -> Task:
    train = samples["train"]
    classification = options.predict in (None, "classification")
    targets: Mapping[str, Array] = {each: part.targets for each, part in samples.items()}
    arrays: dict[str, Array] = {}
    if classification and train.classes:
        arrays["labels"] = np.array(train.classes)
    else:
        targets = typed_targets(targets)
    called = {"x_train": "the table", "y_train": train.target}
    if test_path is not None:
        called |= {"x_test": test_path.name, "y_test": f"{samples['test'].target} of {test_path.name}"}
    if options.predict == "regression":
        for each, part in samples.items():
            wrong = first_text(targets[each])
            if wrong is not None:
                refuse(
                    where if each == "train" else test_path,
                    f"{part.place(wrong)}, {part.target}: {str(targets[each][wrong])[:20]!r} is not a number",
                    "leave out `predict=regression` to learn classes, or correct it",
                )
    longest = max(part.series.shape[2] for part in samples.values())
    for each, part in samples.items():
        arrays |= {f"x_{each}": _padded(part.series, longest), f"y_{each}": targets[each]}
    lengths = {each: part.lengths for each, part in samples.items()}
    several = any((each < longest).any() for each in lengths.values())
    return task_from_arrays(
        name,
        where,
        arrays,
        replace(options, layout="channels-first", target_column=None),
        seed=seed,
        source={**source, "target_column": train.target},
        notes=train.notes,
        called=called,
        missing="interpolate",
        lengths=lengths if several else None,
        padding=False,
    )


def _padded(series: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    behind = length - series.shape[2]
    return np.pad(series, ((0, 0), (0, 0), (0, behind)), constant_values=np.nan) if behind else series


def _reader(train: Path, test: Path | None) -> Callable[[Path, str | int | None, Samples | None], Samples]:
    """What reads a file, for a target column, and for a test file with the content of its training file."""
    suffix = train.suffix.lower()
    if suffix in (".parquet", ".arff"):
        read = read_parquet if suffix == ".parquet" else read_arff
        return lambda path, wanted, _: read(path, wanted)
    archive = suffix in _ARCHIVES and test is not None
    return lambda path, wanted, training: read_text_table(path, wanted, archive=archive, training=training)


def _check_agree(train_path: Path, test_path: Path, train: Samples, test: Samples) -> None:
    """Refuse a test file with other columns than the training file.

    Raises:
        InputError: it has.
    """
    if (train.names is None) != (test.names is None):
        have, other = ("a header", "none") if train.names is None else ("no header", "one")
        refuse(test_path, f"it has {have} and {train_path.name} {other}", "write both files alike")
    ours, theirs = train.names or (), test.names or ()
    for index, (name, there) in enumerate(zip(theirs, ours, strict=False)):
        if name != there:
            wrong = f"column {index} of the series is {name!r} and {there!r} in {train_path.name}"
            refuse(test_path, wrong, "give both files the same columns in one order")
    both = [part.series.shape[1:] for part in (train, test)]
    if both[0][0] != both[1][0]:
        wrong = f"its series have {both[1][0]} channels, those of {train_path.name} {both[0][0]}"
        refuse(test_path, wrong, "use two files of one data set")
    if train.by_columns and both[0] != both[1]:
        wrong = f"its series have {both[1][1]} columns, those of {train_path.name} {both[0][1]}"
        refuse(test_path, wrong, "use two files of one data set")


def _name(path: Path) -> str:
    """The data set's name, of a file of a pair; the folder's where the file is called train alone."""
    match = _PAIR.fullmatch(path.stem)
    return (match and match["name"]) or path.resolve().parent.name


def _files(path: Path) -> tuple[Path, Path | None]:
    """The training and the test file that `path` means; no test file where there is none.

    Raises:
        InputError: a folder holds several data sets, or half a pair is missing.
    """
    if path.is_dir():
        found = next(found for suffix in SUFFIXES if (found := _in_folder(path, suffix)))
        if len(found) > 1:
            names = ", ".join(each.name for each in found[:6])
            refuse(path, f"it holds {len(found)} data sets ({names})", "name one of these files")
        path = found[0]
    if not path.exists():
        refuse(path, "no such file", "check the path of `data`")
    match = _PAIR.fullmatch(path.stem)
    if match is None:
        if path.suffix.lower() == ".txt":
            refuse(
                path,
                "its name does not tell what it is",
                "name the pair NAME_TRAIN.txt, NAME_TEST.txt, or .csv",
            )
        return path, None
    train, test = _part(path, match, "train"), _part(path, match, "test")
    if not train.exists() or (not test.exists() and path.suffix.lower() in _ARCHIVES):
        absent = test if train.exists() else train
        refuse(absent, "no such file", "copy both files of the pair there, or rename the one that is there")
    return train, test if test.exists() else None


def _part(path: Path, match: re.Match[str], part: str) -> Path:
    """The file of a pair that `part` names, in the same case."""
    given = match["part"]
    spelled = part.upper() if given.isupper() else part.capitalize() if given[0].isupper() else part
    return path.with_name(path.stem[: match.start("part")] + spelled + path.suffix)


def _in_folder(folder: Path, suffix: str) -> list[Path]:
    """The data sets in a folder, by their one file or the training file of their pair."""
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() == suffix and each.is_file())
    parts = {each: _PAIR.fullmatch(each.stem) for each in files}
    if suffix == ".txt":  # other texts lie anywhere
        parts = {each: match for each, match in parts.items() if match}
    return [each for each, match in parts.items() if match is None or match["part"].lower() == "train"]
