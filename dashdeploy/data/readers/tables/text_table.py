"""CSV and its relatives: one sample in each line, its cells separated by commas, semicolons, tabs or spaces.

The separator and whether there is a header are found out from the first lines. pyarrow parses: unlike pandas it
refuses lines with too few cells, keeps columns of one name apart, and takes nothing for missing that it is not told.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dashdeploy.data.arrays.lengths import known_lengths
from dashdeploy.data.checks import refuse
from dashdeploy.data.readers.tables.samples import (
    MISSING_TARGETS,
    Samples,
    column_name,
    refuse_doubled,
    target_index,
)
from dashdeploy.data.readers.text_files import lines_of
from dashdeploy.errors import MissingCapabilityError

if TYPE_CHECKING:
    import pyarrow

_SEPARATORS = "\t;,"
_LOOKED_AT = 20
_MISSING = ("", "?", "-", "na", "n/a", "#n/a", "nan", "null", "none")
"""What cells of series say in place of a missing value, in lower case."""
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_LOOSE_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")
_TARGET_WORDS = frozenset(
    {"class", "classes", "label", "labels", "target", "targets", "y", "category", "species"}
)

_CELLS_AT_ONCE = 2**20


def read_text_table(
    path: Path, wanted: str | int | None, *, archive: bool = False, training: Samples | None = None
) -> Samples:
    """Read a CSV file, or one of its relatives.

    Args:
        path: the file.
        wanted: the target column; None is the last one.
        archive: whether it may be a file of the UCR archive: the target in the first column, no header, NaN at the
            end of shorter series. One with a header is a table like any other.
        training: for a test file, the content of its training file.

    Raises:
        InputError: it cannot be read or used; the message names the line and the column.
        MissingCapabilityError: pyarrow is not installed.
    """
    lines = lines_of(path, "name a text file with one sample in each line")
    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not numbers:
        refuse(path, "the file is empty", "write one sample in each line")
    head = [lines[number - 1] for number in numbers[:_LOOKED_AT]]
    separator = _separator(head)
    if separator is None and len(head[0].split()) > 1:
        lines = ["\t".join(line.split()) for line in lines]
        head, separator = [lines[number - 1] for number in numbers[:_LOOKED_AT]], "\t"
    if separator is None:
        refuse(
            path,
            f"line {numbers[0]} has one cell",
            "separate the values and the target by commas, semicolons or tabs",
        )
    columns, numbers = _cells(
        path, lines, numbers, separator, len(next(csv.reader(head[:1], delimiter=separator)))
    )
    first = [str(column[0]).strip() for column in columns]
    may_count = not archive and (training is None or training.names is not None)
    has_header = _is_header(columns, wanted, archive=archive, may_count=may_count)
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    if has_header:
        names, numbers = tuple(first), numbers[1:]
        columns = [column[1:] for column in columns]
        if not numbers:
            refuse(path, "a header is all that it has", "write one sample in each line below")
        if names[0] in ("", "Unnamed: 0") and _counts(columns[0]):
            names, columns = names[1:], columns[1:]
            notes = ("the first column has no name and counts the rows: it is left out",)
        refuse_doubled(path, names)
    place = _places(numbers)
    archive = archive and names is None
    target, said = target_index(path, names, len(columns), wanted, first=archive)
    series = _series(path, names, columns, target, place)
    labels = np.array([str(each).strip() for each in columns[target].to_pylist()])
    absent = np.isin(labels, MISSING_TARGETS)
    if absent.any():
        refuse(
            path,
            f"{place(int(np.argmax(absent)))}, {column_name(names, target)}: the target is missing",
            "fill it in, or drop the sample",
        )
    return Samples(
        series=series[:, None],
        lengths=known_lengths(series) if archive else np.full(len(series), series.shape[1]),
        targets=labels,
        target=column_name(names, target),
        place=place,
        by_columns=not archive,
        names=None if names is None else (*names[:target], *names[target + 1 :]),
        notes=(*notes, *said),
    )


def _separator(head: Sequence[str]) -> str | None:
    """The separator by which the first lines have most numbers, with points or commas; None if none separates any."""
    scores = {}
    for separator in _SEPARATORS:
        try:
            rows = list(csv.reader(head, delimiter=separator))
        except csv.Error:  # a cell is too long, so that this is none
            rows = [[""]]
        numbers = sum(bool(_LOOSE_NUMBER.fullmatch(cell)) for row in rows if len(row) > 1 for cell in row)
        scores[separator] = (numbers, len(rows[0]) > 1)
    best = max(_SEPARATORS, key=lambda each: scores[each])
    return best if scores[best] > (0, False) else None


def _cells(
    path: Path, lines: list[str], numbers: list[int], separator: str, count: int
) -> tuple[list[pyarrow.Array], list[int]]:
    """All cells as text, column by column, and the line in which each row begins.

    Raises:
        InputError: a line has more or fewer cells than the first.
        MissingCapabilityError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import csv as arrow_csv
    except ImportError as error:
        raise MissingCapabilityError(
            f'{path}: pyarrow reads tables; install it with: pip install "dashdeploy[formats]"'
        ) from error
    wrong: list[Any] = []

    def remember(row: Any) -> str:  # noqa: ANN401 - pyarrow's type has no stubs
        wrong.append(row)
        return "error"

    content = "\n".join(lines).encode()
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(content),
            # One block: a line may be longer than the default. One thread: rows are numbered then.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, autogenerate_column_names=True, block_size=min(len(content) + 1, 2**31 - 1)
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator,
                newlines_in_values=any(line.count('"') % 2 for line in lines),
                invalid_row_handler=remember,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={f"f{index}": pyarrow.string() for index in range(count)},
                strings_can_be_null=False,
            ),
        )
    except pyarrow.ArrowInvalid as error:
        if not wrong:
            refuse(path, f"it cannot be parsed ({str(error).splitlines()[0]})", "write it as a CSV file")
        row = wrong[0]
        number = numbers[row.number - 1] if row.number and row.number <= len(numbers) else row.number
        refuse(
            path,
            f"line {number} has {row.actual_columns} cells, the first {row.expected_columns}",
            "give every line the same cells; leave a cell empty where a value is missing",
        )
    columns = [column.combine_chunks() for column in table.columns]
    # A quoted cell may hold a line break: then rows are counted instead.
    rows = len(columns[0])
    return columns, numbers if len(numbers) == rows else list(range(1, rows + 1))


def _is_header(
    columns: Sequence[pyarrow.Array], wanted: str | int | None, *, archive: bool, may_count: bool
) -> bool:
    """Whether the first line holds names.

    It does where it has text in place of series values, but no fractions beside; where it counts, as pandas names
    columns; or where the target's column says that it is one.
    """
    first = [str(column[0]).strip() for column in columns]
    if isinstance(wanted, str) and wanted in first and not _LOOSE_NUMBER.fullmatch(wanted):
        return True
    target = 0 if archive else len(first) - 1
    if wanted is not None and re.fullmatch(r"-?\d+", str(wanted)) and -len(first) <= int(wanted) < len(first):
        target = int(wanted) % len(first)
    others = [cell for index, cell in enumerate(first) if index != target and cell.lower() not in _MISSING]
    text = {cell for cell in others if not _LOOSE_NUMBER.fullmatch(cell)}
    if text:
        numbers = [cell for cell in others if cell not in text]
        return all(cell.isdigit() for cell in numbers) and len(set(numbers)) == len(numbers)
    # A class of the first sample is most likely one of another sample, too.
    is_name = (
        not _LOOSE_NUMBER.fullmatch(first[target]) and first[target] not in columns[target][1:].to_pylist()
    )
    if is_name and first[target].lower() in _TARGET_WORDS:
        return True
    counted = others if is_name else [*others, first[target]]
    return may_count and len(counted) > (1 if is_name else 2) and _is_count(counted)


def _is_count(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2, … or 1, 2, 3, … in any order."""
    in_order = sorted(cells, key=lambda cell: (len(cell), cell))
    return in_order in ([str(index + start) for index in range(len(cells))] for start in (0, 1))


def _counts(column: pyarrow.Array) -> bool:
    return bool(column.to_pylist() == [str(index) for index in range(len(column))])


def _places(numbers: Sequence[int]) -> Any:  # noqa: ANN401 - a function of an index
    return lambda index: f"line {numbers[index]}"


def _series(
    path: Path,
    names: tuple[str, ...] | None,
    columns: Sequence[pyarrow.Array],
    target: int,
    place: Callable[[int], str],
) -> npt.NDArray[np.float64]:
    """The columns but the target as numbers, NaN where they are missing: [rows, columns]."""
    import pyarrow

    rows, kept = len(columns[0]), [index for index in range(len(columns)) if index != target]
    series = np.empty((rows, len(kept)))
    # Many columns at once: a call of pyarrow takes as long as hundreds of cells, and tables may have 100 000 columns.
    together = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, len(kept), together):
        part = kept[start : start + together]
        cells = pyarrow.concat_arrays([columns[index] for index in part])

        def where(index: int, part: Sequence[int] = part) -> str:
            return f"{place(index % rows)}, {column_name(names, part[index // rows])}"

        series[:, start : start + together] = _numbers(path, cells, where).reshape(len(part), rows).T
    return series


def _numbers(path: Path, cells: pyarrow.Array, where: Callable[[int], str]) -> npt.NDArray[np.float64]:
    """Cells of a series as numbers, NaN where they are missing; `where` tells the place of a wrong one."""
    import pyarrow
    from pyarrow import compute

    cells = compute.utf8_trim_whitespace(cells)
    missing = compute.is_in(compute.utf8_lower(cells), pyarrow.array(_MISSING))
    good = compute.or_(missing, compute.match_substring_regex(cells, _NUMBER))
    if not compute.all(good).as_py():
        index = good.index(False).as_py()
        cell = cells[index].as_py()
        decimal_comma = _LOOSE_NUMBER.fullmatch(cell) is not None
        refuse(
            path,
            f"{where(index)}: {cell[:20]!r} is not a number",
            "write decimal points"
            if decimal_comma
            else "correct it, or leave the cell empty if it is missing",
        )
    numbers = compute.if_else(missing, "nan", cells).cast(pyarrow.float64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)
