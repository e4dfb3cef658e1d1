"""The ``.ts`` format of the UCR and UEA time series archives.

Bagnall et al., "The UEA multivariate time series classification archive, 2018" (arXiv 1811.00075). A header of
lines ``@name value``, then one line per series: its channels separated by colons, each channel's values by
commas, and behind the last colon its class or the number that is to be predicted. Lines that begin with # or %
are comments. Series may have several lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import refuse

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TsFile:
    """The content of one file.

    Attributes:
        series: each [channels, its length].
        targets: class indices [n], int64, or numbers [n], float64.
        classes: names of the classes in the header's order; None if numbers are predicted.
    """

    series: list[Series]
    targets: npt.NDArray[np.generic]
    classes: tuple[str, ...] | None


def read_ts(path: Path) -> TsFile:
    """Read the ``.ts`` file `path`.

    Raises:
        InputError: it cannot be read or used; the message names the line and the mend.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")
    except UnicodeDecodeError:
        refuse(path, "not a text file", "name a .ts file of the UCR or UEA archive")
    header, first = _header(path, lines)
    classes = _classes(path, header)
    series: list[Series] = []
    targets: list[float] = []
    for number, line in enumerate(lines[first:], first + 1):
        text = line.strip()
        if text and text[0] not in "#%":
            one, target = _case(path, number, text, classes)
            if series and len(one) != len(series[0]):
                refuse(
                    path,
                    f"line {number} has {len(one)} channels, the first series {len(series[0])}",
                    "give every series the same channels",
                )
            series.append(one)
            targets.append(target)
    if not series:
        refuse(path, "no series follows @data", "copy the file again; it may be cut short")
    return TsFile(series, np.array(targets, np.int64 if classes else np.float64), classes)


def _header(path: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    """The header by lower-case name, and the index of the first line of data."""
    end = next((index for index, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if end is None:
        refuse(path, "there is no line @data", "name a .ts file of the UCR or UEA archive")
    header: dict[str, str] = {}
    for line in lines[:end]:
        name, _, value = line.strip().partition(" ")
        if name.startswith("@"):
            header[name[1:].lower()] = value.strip()
    return header, end + 1


def _classes(path: Path, header: dict[str, str]) -> tuple[str, ...] | None:
    if header.get("timestamps", "false").lower() == "true":
        refuse(path, "the series have time stamps", "write the values alone, with @timeStamps false")
    declared = header.get("classlabel", "").split()
    if declared and declared[0].lower() == "true":
        if len(declared) < 3:
            refuse(path, f"@classLabel names {len(declared) - 1} classes", "name at least two")
        return tuple(declared[1:])
    if header.get("targetlabel", "").lower() != "true":
        refuse(path, "neither @classLabel nor @targetlabel is true", "supervised data is needed: add targets")
    return None


def _case(path: Path, number: int, text: str, classes: tuple[str, ...] | None) -> tuple[Series, float]:
    """One line: its series [channels, length] and its target."""
    *channels, label = text.split(":")
    if not channels:
        refuse(path, f"line {number} has no colon", "end every series with a colon and its class")
    values = [_values(path, number, index, channel) for index, channel in enumerate(channels)]
    lengths = {len(each) for each in values}
    if len(lengths) > 1:
        refuse(
            path,
            f"line {number} has channels of lengths {', '.join(map(str, sorted(lengths)))}",
            "give all channels of a series one length",
        )
    label = label.strip()
    if classes is None:
        try:
            target = float(label)
        except ValueError:
            refuse(
                path,
                f"line {number}: the target {label!r} is no number",
                "write a number behind the last colon",
            )
        return np.array(values), target
    if label not in classes:
        refuse(
            path,
            f"line {number}: class {label!r} is not one that @classLabel names ({', '.join(classes[:8])})",
            "add it there, or correct the line",
        )
    return np.array(values), classes.index(label)


def _values(path: Path, number: int, channel: int, text: str) -> list[float]:
    try:
        values = [float(each) for each in text.split(",")]
    except ValueError:
        wrong = next((each.strip() for each in text.split(",") if not _is_number(each)), "")
        what = "is missing" if wrong in ("?", "") else f"({wrong[:20]}) is no number"
        refuse(
            path, f"line {number}, channel {channel + 1}: a value {what}", "fill it in, or drop the series"
        )
    if not np.isfinite(values).all():
        refuse(path, f"line {number}, channel {channel + 1}: a value is NaN or infinite", "fill it in")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
