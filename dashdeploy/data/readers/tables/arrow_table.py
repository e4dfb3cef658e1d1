"""Parquet files and data frames: one sample in each row, in columns of numbers or of lists of numbers.

Columns of numbers, in their order, are a series of one channel. Each column of lists is a channel, and its lists may
have several lengths.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.readers.tables.samples import Samples, column_name, refuse_doubled, target_index
from dashdeploy.errors import InputError, MissingCapabilityError

if TYPE_CHECKING:
    import pyarrow


def read_parquet(path: Path, wanted: str | int | None) -> Samples:
    """Read a Parquet file.

    Args:
        path: the file.
        wanted: the target column; None is the last one.

    Raises:
        InputError: it cannot be read or used; the message names the row and the column.
        MissingCapabilityError: pyarrow is not installed.
    """
    _require_pyarrow(path)
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")
    except pyarrow.ArrowException as error:
        refuse(path, f"not a whole Parquet file ({str(error).splitlines()[0]})", "copy or write it again")
    return samples_of_arrow(path, _without_index(table), wanted)


def samples_of_frame(where: object, frame: Any, wanted: str | int | None) -> Samples:  # noqa: ANN401 - no pandas here
    """The samples of a data frame of pandas, or of anything that hands out an Arrow table.

    Args:
        where: what messages call it.
        frame: one sample in each row. Cells may be arrays, lists or pandas' series.
        wanted: the target column; None is the last one.

    Raises:
        InputError: it cannot be used; the message names the row and the column.
        MissingCapabilityError: pyarrow is not installed.
    """
    _require_pyarrow(where)
    import pyarrow

    if getattr(getattr(frame, "index", None), "nlevels", 1) > 1:
        wrong = f"it has row names of {frame.index.nlevels} levels, so that a sample has several rows"
        refuse(where, wrong, "give one row for each sample; cells may be series")
    try:
        if not hasattr(frame, "iloc"):
            return samples_of_arrow(where, pyarrow.table(frame), wanted)
        arrays = [_of_pandas_column(frame.iloc[:, index]) for index in range(frame.shape[1])]
    except pyarrow.ArrowException as error:
        refuse(where, f"a column holds no values of one type ({str(error).splitlines()[0]})", "convert it")
    names = [str(name) for name in frame.columns]
    return samples_of_arrow(where, pyarrow.Table.from_arrays(arrays, names=names), wanted)


def _of_pandas_column(column: Any) -> pyarrow.Array:  # noqa: ANN401 - no pandas here
    import pyarrow

    if column.dtype == object:
        cells = [np.asarray(each) if getattr(each, "ndim", 0) else each for each in column]
        return pyarrow.array(cells, from_pandas=True)
    made = pyarrow.array(column, from_pandas=True)
    return made.combine_chunks() if isinstance(made, pyarrow.ChunkedArray) else made


def _require_pyarrow(where: object) -> None:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingCapabilityError(
            f'{where}: pyarrow reads tables; install it with: pip install "dashdeploy[formats]"'
        ) from error
    del pyarrow


def _without_index(table: pyarrow.Table) -> pyarrow.Table:
    """The table without the columns that pandas keeps its row names in."""
    described = (table.schema.metadata or {}).get(b"pandas")
    if described is None:
        return table
    try:
        index = [name for name in json.loads(described)["index_columns"] if isinstance(name, str)]
    except (ValueError, KeyError, TypeError):
        return table
    return table.drop_columns([name for name in index if name in table.column_names])


def samples_of_arrow(where: object, table: pyarrow.Table, wanted: str | int | None) -> Samples:
    """The samples of an Arrow table.

    Args:
        where: the file, for messages.
        table: one sample in each row.
        wanted: the target column; None is the last one.

    Raises:
        InputError: it cannot be used; the message names the row and the column.
    """
    from pyarrow import types

    names = tuple(table.column_names)
    if not table.num_rows:
        refuse(where, "it has no rows", "write one sample in each row")
    refuse_doubled(where, names)
    target, notes = target_index(where, names, len(names), wanted)
    targets = _targets(where, column_name(names, target), table.column(target).combine_chunks())
    columns = {
        name: table.column(index).combine_chunks() for index, name in enumerate(names) if index != target
    }
    lists = {name: _is_list(types, column.type) for name, column in columns.items()}
    if any(lists.values()) and not all(lists.values()):
        number, many = (next(name for name, each in lists.items() if each is kind) for kind in (False, True))
        refuse(
            where,
            f"column {number!r} holds single values and column {many!r} lists",
            "keep the columns of the series and of the target",
        )
    if all(lists.values()):
        series, lengths = _channels(where, columns)
    else:
        values = [_numbers(where, name, column) for name, column in columns.items()]
        series = np.stack(values, axis=1)[:, None]
        lengths = np.full(len(series), series.shape[2])
    return Samples(
        series=series,
        lengths=lengths,
        targets=targets,
        target=column_name(names, target),
        place=_row,
        names=tuple(columns),
        by_columns=not all(lists.values()),
        notes=notes,
    )


def _row(index: int) -> str:
    return f"row {index} (from 0)"


def _is_list(types: Any, kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no stubs
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _numbers(where: object, name: str, column: pyarrow.Array) -> npt.NDArray[np.float64]:
    """A column of numbers, NaN where they are missing."""
    import pyarrow
    from pyarrow import types

    kind = column.type
    numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    if not any(each(kind) for each in numeric):
        refuse(where, f"column {name!r} holds {kind}", "leave it out, or turn it into numbers")
    if types.is_boolean(kind):
        column = column.cast(pyarrow.int8())
    numbers = column.cast(pyarrow.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _channels(
    where: object, columns: dict[str, pyarrow.Array]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Series [n, channels, longest], NaN behind their ends, and their lengths. A missing list misses all values."""
    values, starts, sizes = [], [], []
    for name, column in columns.items():
        flat, offsets, known = _flattened(where, name, column)
        values.append(flat)
        starts.append(offsets[:-1])
        sizes.append(np.where(known, np.diff(offsets), 0))
    size = np.stack(sizes, axis=1)
    lengths = size.max(axis=1)
    wrong = (size != lengths[:, None]) & (size > 0)
    if wrong.any():
        row = int(np.argmax(wrong.any(axis=1)))
        found = " and ".join(str(each) for each in sorted(set(size[row][size[row] > 0].tolist())))
        refuse(where, f"{_row(row)} has lists of {found} values", "give all channels of a sample one length")
    longest = int(lengths.max())
    if not longest:
        refuse(where, "all lists are empty", "write the values of the series")
    series = np.full((len(lengths), len(columns), longest), np.nan)
    for channel, (flat, start) in enumerate(zip(values, starts, strict=True)):
        for row, length in enumerate(size[:, channel]):
            series[row, channel, :length] = flat[start[row] : start[row] + length]
    return series, np.where(lengths > 0, lengths, longest)


def _flattened(where: object, name: str, column: pyarrow.Array) -> tuple[Array, Array, Array]:
    """All values of a column of lists, where each list begins and the last ends, and which lists are there.

    `flatten` would drop what lies behind missing lists, and shift the others against the targets.
    """
    import pyarrow
    from pyarrow import types

    inner = column.type.value_type
    if not (
        types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner) or types.is_null(inner)
    ):
        refuse(where, f"column {name!r} holds lists of {inner}", "write lists of numbers")
    known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
    if types.is_boolean(inner):
        column = column.cast(pyarrow.large_list(pyarrow.int8()))
    column = column.cast(pyarrow.large_list(pyarrow.float64()), safe=False)
    values = column.values.to_numpy(zero_copy_only=False)
    return values, np.asarray(column.offsets), known


def _targets(where: object, name: str, column: pyarrow.Array) -> Array:
    """The target column as text, numbers or booleans."""
    import pyarrow
    from pyarrow import types

    if column.null_count:
        index = int(np.argmax(np.asarray(column.is_null())))
        refuse(where, f"{_row(index)}, {name}: the target is missing", "fill it in, or drop the sample")
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if types.is_decimal(column.type):
        return np.asarray(column.cast(pyarrow.float64()).to_numpy())
    try:
        return np.array(column.cast(pyarrow.string()).to_pylist(), np.str_)
    except pyarrow.ArrowException:
        raise InputError(
            f"{where}: {name} holds {column.type}; name the column of the target in `target_column`"
        ) from None
