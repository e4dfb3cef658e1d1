"""What is to be predicted of records: a table ``labels.csv``, PhysioNet's ``REFERENCE.csv``, or comments of headers.

A table has a line ``record,label`` for each record and may have a third column, ``split``: train, test or val. If
there is none, a header's comment ``#Dx: …`` counts (as in PhysioNet's challenges), or ``#Label: …``, ``#Class: …``.
Several labels of a record, for `predict=multi-label`, have commas, semicolons or spaces between.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dashdeploy.data.arrays.names import SPLIT_NAMES
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.task import Kind

TABLES = ("labels.csv", "LABELS.csv", "REFERENCE.csv")
_COMMENT = re.compile(r"\s*(dx|label|labels|class)\s*:\s*(.*?)\s*", re.IGNORECASE)
_RECORD_COLUMNS = ("record", "name", "file", "filename", "record_name")
_LABEL_COLUMNS = ("label", "labels", "class", "target", "dx", "reference")


class Labels(NamedTuple):
    """The labels of records.

    Attributes:
        records: names by split; train alone, or train and test, and perhaps val.
        targets: theirs.
        names: of the labels, for several per record.
        files: what the labels were read from, besides headers.
        notes: what is to be said, a line each.
    """

    records: Mapping[str, Sequence[str]]
    targets: Mapping[str, Array]
    names: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


class _Entry(NamedTuple):
    place: str
    label: str
    split: str | None


def labels_of(folder: Path, records: Mapping[str, Sequence[str]], kind: Kind | None) -> Labels:
    """Find the labels of `records`.

    Args:
        folder: that holds the records, and perhaps a table.
        records: names, relative to `folder`, and the comments of their headers.
        kind: what is predicted; None is classification.

    Raises:
        InputError: there are none, or some cannot be used; the message names the line or the record.
    """
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    entries = _from_comments(folder, records) if table is None else _from_table(table, list(records))
    notes: list[str] = []
    without = [name for name in records if name not in entries]
    if len(without) == len(records):
        refuse(
            folder,
            "no record has a label",
            "write labels.csv with a line record,label for each, or a comment '#Dx: …' into every header",
        )
    if without:
        which = "record has no label and is" if len(without) == 1 else "records have no label and are"
        notes.append(f"{len(without)} {which} left out, such as {without[0]}")
    split_of = {name: entry.split or SPLIT_NAMES.get(_top(name)) for name, entry in entries.items()}
    if any(each is None for each in split_of.values()):
        odd = next((name for name, split in split_of.items() if split), None)
        if odd is not None and any(entry.split for entry in entries.values()):
            wrong = next(name for name, split in split_of.items() if split is None)
            refuse(table, f"{wrong} is of no split, {odd} is of {split_of[odd]}", "fill in the column split")
        split_of = dict.fromkeys(split_of, "train")
    found = {
        split: [name for name in entries if split_of[name] == split]
        for split in ("train", "test", "val")
        if split in split_of.values()
    }
    if "train" not in found:
        refuse(folder, "no record is for training", "name the split of some train")
    texts = {split: [entries[name] for name in names] for split, names in found.items()}
    targets, names = _targets(texts, kind)
    return Labels(found, targets, names, () if table is None else (table,), tuple(notes))


def _targets(
    entries: Mapping[str, Sequence[_Entry]], kind: Kind | None
) -> tuple[dict[str, Array], tuple[str, ...]]:
    if kind == "regression":
        return {name: np.array([_number(each) for each in split]) for name, split in entries.items()}, ()
    if kind == "multi-label":
        sets = {name: [_several(each.label) for each in split] for name, split in entries.items()}
        names = tuple(sorted({label for each in sets["train"] for label in each}))
        unknown = [
            (entries[name][row], label)
            for name, split in sets.items()
            for row, each in enumerate(split)
            for label in each
            if label not in names
        ]
        if unknown:
            entry, label = unknown[0]
            refuse(
                entry.place,
                f"no training record has the label {label}",
                "add one that has, or drop the label",
            )
        hot = {
            name: np.array([[label in each for label in names] for each in split])
            for name, split in sets.items()
        }
        return {name: array.astype(np.int64) for name, array in hot.items()}, names
    for split in entries.values():
        for each in split:
            if "," in each.label or ";" in each.label:
                refuse(
                    each.place,
                    f"it has several labels, {each.label}",
                    "add `predict=multi-label` to learn all of them, or name one",
                )
    return {name: np.array([each.label for each in split]) for name, split in entries.items()}, ()


def _several(text: str) -> list[str]:
    return [each for each in re.split(r"[,;\s]+", text) if each]


def _number(entry: _Entry) -> float:
    try:
        return float(entry.label)
    except ValueError:
        refuse(entry.place, f"the label {entry.label} is not a number", "correct it, or learn classes")


def _top(name: str) -> str:
    return name.split("/", 1)[0].lower() if "/" in name else ""


def _from_comments(folder: Path, records: Mapping[str, Sequence[str]]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for name, comments in records.items():
        found = [match for match in map(_COMMENT.fullmatch, comments) if match and match[2]]
        place = str(folder / f"{name}.hea")
        if len(found) > 1:
            said = " and ".join(match[1] for match in found)
            refuse(place, f"it has several comments with a label ({said})", "keep one, or write labels.csv")
        if found:
            entries[name] = _Entry(place, found[0][2], None)
    return entries


def _from_table(table: Path, records: Sequence[str]) -> dict[str, _Entry]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                (number, [cell.strip() for cell in row])
                for number, row in enumerate(csv.reader(file), 1)
                if row
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        refuse(table, f"it cannot be read ({' '.join(str(error).split())})", "write it as UTF-8")
    columns = {"record": 0, "label": 1}
    if rows and rows[0][1][0].lower() in _RECORD_COLUMNS:
        header = [cell.lower() for cell in rows.pop(0)[1]]
        label = next((each for each in _LABEL_COLUMNS if each in header), None)
        if label is None:
            refuse(table, f"its columns are {', '.join(header)}", "name the columns record and label")
        columns["label"] = header.index(label)
        columns |= {"split": header.index("split")} if "split" in header else {}
    by_name = {Path(name).name: name for name in records} | {name: name for name in records}
    entries: dict[str, _Entry] = {}
    for number, row in rows:
        place = f"{table}, line {number}"
        if len(row) <= max(columns.values()) or not row[columns["label"]]:
            refuse(place, "the label is missing", "write record,label, or take the line out")
        written = row[0].removesuffix(".hea")
        name = by_name.get(written)
        if name is None:
            refuse(place, f"record {written} is missing", "copy it as well, or take the line out")
        if name in entries:
            refuse(place, f"{name} has a label already", "keep one of the lines")
        split = row[columns["split"]].lower() if "split" in columns else ""
        if split and split not in SPLIT_NAMES:
            refuse(place, f"{split} is not a split", "write train, test or val")
        entries[name] = _Entry(place, row[columns["label"]], SPLIT_NAMES.get(split))
    return entries
