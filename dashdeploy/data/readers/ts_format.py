"""The ``.ts`` format of the UCR and UEA time series archives.

Bagnall et al., "The UEA multivariate time series classification archive, 2018" (arXiv 1811.00075). A header of
lines ``@name value``, then one line per series: its channels separated by colons, each channel's values by
commas, and behind the last colon its class or the number that is to be predicted. Lines that begin with # or %
are comments, in whatever encoding their author had. Series may have several lengths. A missing value is ? or NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import refuse
from dashdeploy.data.missing_values import Missing
from dashdeploy.data.readers.text_files import lines_of
from dashdeploy.data.readers.ts_timestamps import Grid, StampedChannel, grid_of, on_grid, stamped_case

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TsFile:
    """The content of one file.

    Attributes:
        series: each [channels, its length]; a missing value is NaN.
        targets: class indices [n], int64, or numbers [n], float64.
        classes: names of the classes that `targets` are indices of; None if numbers are predicted.
        grid: that series with time stamps were brought to; None where there are none.
    """

    series: list[Series]
    targets: npt.NDArray[np.generic]
    classes: tuple[str, ...] | None
    grid: Grid | None = None


def read_ts(
    path: Path,
    training: TsFile | None = None,
    *,
    missing: Missing = "interpolate",
    timestamps: Literal["refuse", "resample"] = "refuse",
) -> TsFile:
    """Read the ``.ts`` file `path`.

    Args:
        path: the file.
        training: for a test file, the content of its training file. The test file's classes are then those that
            training series have, in the order of the training file, whatever its own list has: programs that write
            such files list what they find in each.
        missing: what becomes of missing values; they stay NaN here, but between time stamps.
        timestamps: whether series that have them are resampled to an even grid, the training file's.

    Raises:
        InputError: it cannot be read or used; the message names the line and the fix.
    """
    lines = lines_of(path, "name a .ts file of the UCR or UEA archive")
    header, first = _header(path, lines)
    classes = _classes(path, header, fewest=2 if training is None else 0)
    stamped = _is_stamped(path, header, training, timestamps)
    may_miss = missing != "refuse"
    if training is not None and (classes is None) != (training.classes is None):
        have, other = ("numbers", "classes") if classes is None else ("classes", "numbers")
        refuse(path, f"it has {have} and the training file {other}", "use two files of one data set")
    series: list[Series] = []
    observed: list[list[StampedChannel]] = []
    labels: list[tuple[int, str]] = []
    for number, line in enumerate(lines[first:], first + 1):
        text = line.strip()
        if text and text[0] not in "#%":
            if stamped:
                case, label = stamped_case(path, number, text, may_miss)
                observed.append(case)
            else:
                one, label = _case(path, number, text, may_miss)
                series.append(one)
            channels = [len(each) for each in (observed or series)]
            if channels[-1] != channels[0]:
                refuse(
                    path,
                    f"line {number} has {channels[-1]} channels, the first series {channels[0]}",
                    "give every series the same channels",
                )
            labels.append((number, label))
    if not labels:
        refuse(path, "no series follows @data", "copy the file again; it may be cut short")
    grid = None
    if stamped:
        grid = (training.grid if training else None) or grid_of(path, observed)
        series = [
            on_grid(path, number, case, grid, through_gaps=missing == "interpolate")
            for (number, _), case in zip(labels, observed, strict=True)
        ]
    if classes is None:
        return TsFile(series, np.array([_number(path, *each) for each in labels]), None, grid)
    if training is None or training.classes is None:
        known, where, fix = classes, "that @classLabel names", "add it there, or correct the line"
    else:
        classes = training.classes
        known = tuple(classes[index] for index in np.unique(training.targets))
        where, fix = "of the training series", "add training series of it, or drop this one"
    for number, label in labels:
        if label not in known:
            names = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            refuse(path, f"line {number}: class {label!r} is not one {where} ({names})", fix)
    return TsFile(series, np.array([classes.index(label) for _, label in labels], np.int64), classes, grid)


def _header(path: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    """The header by lower-case name, and the index of the first line of data."""
    end = next((index for index, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if end is None:
        refuse(path, "the line @data is missing", "name a .ts file of the UCR or UEA archive")
    header: dict[str, str] = {}
    for line in lines[:end]:
        name, _, value = line.strip().replace("\t", " ").partition(" ")
        if name.startswith("@"):
            header[name[1:].lower()] = value.strip()
    return header, end + 1


def _is_stamped(
    path: Path, header: dict[str, str], training: TsFile | None, timestamps: Literal["refuse", "resample"]
) -> bool:
    """Whether the series have time stamps, which have to be wanted."""
    stamped = header.get("timestamps", "false").lower() == "true"
    if stamped and timestamps == "refuse":
        refuse(path, "the series have time stamps", "use `timestamps=resample` to bring them to an even grid")
    if training is not None and stamped != (training.grid is not None):
        which = "the training file alone has" if training.grid else "it has, unlike the training file,"
        refuse(path, f"{which} time stamps", "use two files of one data set")
    if not stamped and timestamps == "resample":
        refuse(path, "the series have no time stamps", "leave out `timestamps=resample`")
    return stamped


def _classes(path: Path, header: dict[str, str], fewest: int) -> tuple[str, ...] | None:
    """The classes that the header lists, each once; None if numbers are predicted."""
    declared = header.get("classlabel", "").split()
    if declared and declared[0].lower() == "true":
        names = tuple(dict.fromkeys(declared[1:]))
        if len(names) < fewest:
            refuse(path, f"@classLabel names {len(names)} classes", "name at least two")
        return names
    if header.get("targetlabel", "").lower() != "true":
        refuse(path, "neither @classLabel nor @targetlabel is true", "supervised data is needed: add targets")
    return None


def _case(path: Path, number: int, text: str, may_miss: bool) -> tuple[Series, str]:
    """One line: its series [channels, length], and what stands behind its last colon."""
    *channels, label = text.split(":")
    if not channels:
        refuse(path, f"line {number} has no colon", "end every series with a colon and its class")
    values = [_values(path, number, index, channel, may_miss) for index, channel in enumerate(channels)]
    lengths = {len(each) for each in values}
    if len(lengths) > 1:
        refuse(
            path,
            f"line {number} has channels of lengths {', '.join(map(str, sorted(lengths)))}",
            "give all channels of a series one length",
        )
    return np.array(values), label.strip()


def _number(path: Path, number: int, label: str) -> float:
    try:
        return float(label)
    except ValueError:
        refuse(
            path,
            f"line {number}: the target {label!r} is not a number",
            "write a number behind the last colon",
        )


def _values(path: Path, number: int, channel: int, text: str, may_miss: bool) -> list[float]:
    place = f"line {number}, channel {channel + 1}"
    marked = text.replace("?", "nan")
    try:
        values = [float(each) for each in marked.split(",")]
    except ValueError:
        wrong = next(
            (each.strip() for each in text.split(",") if not _is_number(each.replace("?", "nan"))), ""
        )
        if not wrong:
            refuse(path, f"{place}: between two commas is nothing", "write ? for a value that is missing")
        refuse(path, f"{place}: a value ({wrong[:20]}) is not a number", "fill it in, or drop the series")
    if np.isinf(values).any():
        refuse(path, f"{place}: a value is infinite", "correct it, or write ? for a value that is missing")
    if not may_miss and np.isnan(values).any():
        refuse(path, f"{place}: a value is missing", "fill it in, or use `missing=interpolate`")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
