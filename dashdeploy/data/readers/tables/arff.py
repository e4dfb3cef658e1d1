"""ARFF files, as Weka and the UCR and UEA archives have them, also with relational attributes.

The archive of several channels (arXiv 1811.00075) has one relational attribute, whose rows are the channels, and the
class. liac-arff reads what it knows, and gets a relational attribute as the text that it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dashdeploy.data.arrays.lengths import known_lengths, stacked
from dashdeploy.data.checks import refuse
from dashdeploy.data.readers.tables.samples import Samples, column_name, refuse_doubled, target_index
from dashdeploy.data.readers.text_files import lines_of
from dashdeploy.errors import MissingCapabilityError, first_line

_RELATIONAL = re.compile(r"\s*@attribute\s+(?P<name>'[^']*'|\"[^\"]*\"|\S+)\s+relational\s*", re.IGNORECASE)
_END = re.compile(r"\s*@end\b.*", re.IGNORECASE)
_NUMERIC = ("NUMERIC", "REAL", "INTEGER")


def read_arff(path: Path, wanted: str | int | None) -> Samples:
    """Read an ARFF file.

    Args:
        path: the file.
        wanted: the attribute that is predicted; None is the last one.

    Raises:
        InputError: it cannot be read or used; the message names the row and the attribute.
        MissingCapabilityError: liac-arff is not installed.
    """
    try:
        import arff
    except ImportError as error:
        raise MissingCapabilityError(
            f'{path}: liac-arff reads .arff files; install it with: pip install "dashdeploy[formats]"'
        ) from error
    lines, relational = _without_relations(lines_of(path, "name an .arff file"))
    try:
        content = arff.loads("\n".join(lines))
    except arff.ArffException as error:
        said = first_line(error).rstrip(".")
        refuse(path, f"not an ARFF file that can be read ({said})", "correct it, or write it again")
    except Exception as error:  # a damaged header raises almost anything
        refuse(path, f"not an ARFF file that can be read ({first_line(error)})", "write it again")
    names = tuple(name for name, _ in content["attributes"])
    kinds = [kind for _, kind in content["attributes"]]
    rows = content["data"]
    if not rows:
        refuse(path, "no sample follows @data", "copy the file again; it may be cut short")
    refuse_doubled(path, names)
    target, notes = target_index(path, names, len(names), wanted)
    if names[target] in relational:
        refuse(path, f"attribute {names[target]!r} is relational", "name the target in `target_column`")
    others = [index for index in range(len(names)) if index != target]
    if relational:
        if [names[index] for index in others] != relational[:1]:
            refuse(
                path,
                f"it has {len(others)} attributes beside {names[target]!r}, some relational",
                "keep one relational attribute and the target",
            )
        samples = [_channels(path, index, row[others[0]]) for index, row in enumerate(rows)]
    else:
        for index in others:
            if kinds[index] not in _NUMERIC:
                fix = "leave it out, or name it in `target_column`"
                refuse(path, f"attribute {names[index]!r} is not numeric", fix)
        samples = [np.array([[row[index] for index in others]], np.float64) for row in rows]
    series, lengths = _stacked(path, samples)
    kind = kinds[target]
    absent = next((index for index, row in enumerate(rows) if row[target] is None), None)
    if absent is not None:
        wrong = f"{_row(absent)}, {column_name(names, target)}: the target is missing"
        refuse(path, wrong, "fill it in, or drop the sample")
    numeric = kind in _NUMERIC
    return Samples(
        series=series,
        lengths=lengths,
        targets=np.array([row[target] if numeric else str(row[target]) for row in rows]),
        target=column_name(names, target),
        place=_row,
        classes=tuple(dict.fromkeys(kind)) if isinstance(kind, list) else (),
        notes=notes,
    )


def _row(index: int) -> str:
    return f"sample {index + 1}"


def _without_relations(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines with every relational attribute declared as text, and the names of these."""
    made, names, inside = [], [], False
    for line in lines:
        opening = None if inside else _RELATIONAL.fullmatch(line)
        if opening is not None:
            names.append(opening["name"].strip("'\""))
            made.append(f"@attribute {opening['name']} string")
            inside = True
        elif inside:
            inside = _END.fullmatch(line) is None
            made.append("%")  # so that the lines keep their numbers
        else:
            made.append(line)
    return made, names


def _channels(path: Path, index: int, text: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - liac-arff's cell
    """A relational value, a channel in each line, as [channels, length]."""
    rows = [] if text is None else [line for line in re.split(r"\\n|\n", str(text)) if line.strip()]
    try:
        channels = [
            [np.nan if cell.strip() in ("?", "") else float(cell) for cell in row.split(",")] for row in rows
        ]
    except ValueError as error:
        refuse(path, f"{_row(index)}: {error}", "write numbers, or ? for a value that is missing")
    lengths = sorted({len(channel) for channel in channels})
    if len(lengths) != 1:
        found = " and ".join(map(str, lengths)) or "no"
        refuse(
            path, f"{_row(index)} has channels of {found} values", "give all channels of a sample one length"
        )
    return np.array(channels)


def _stacked(
    path: Path, samples: list[npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """[n, channels, longest], and how long each series is: ? at the end of all channels is padding."""
    for index, sample in enumerate(samples):
        if len(sample) != len(samples[0]):
            refuse(
                path,
                f"{_row(index)} has {len(sample)} channels, the first {len(samples[0])}",
                "give every sample the same channels",
            )
    series = stacked(samples)
    return series, known_lengths(series)
