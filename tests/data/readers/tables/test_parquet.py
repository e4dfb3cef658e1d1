"""Parquet files and data frames, as pyarrow and pandas write them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.tables.arrow_table import read_parquet, samples_of_arrow


def frame(table):
    return pd.DataFrame({**{f"t{i}": column for i, column in enumerate(table.x.T)}, "label": table.y})


def write(path, **columns):
    parquet.write_table(pa.table(columns), path)
    return path


def test_columns_of_numbers(tmp_path, table):
    path = tmp_path / "flow.parquet"
    frame(table).to_parquet(path)
    task = load_data(path)
    table.all_samples(task)
    assert (task.name, task.input_shape, task.labels) == ("flow", (1, 5), ("down", "left", "up"))
    assert task.notes[0] == "what is predicted is the last column, 'label'; `target_column` chooses another"


def test_row_names_of_pandas_are_left_out(tmp_path, table):
    path = tmp_path / "flow.parquet"
    frame(table).set_index(pd.Index([f"row {i}" for i in range(30)])).to_parquet(path)
    assert "__index_level_0__" in parquet.read_schema(path).names
    table.all_samples(load_data(path))


@pytest.mark.parametrize("target", ["label", 2, "2", "-4"])
def test_the_target_column(tmp_path, table, target):
    path = tmp_path / "flow.parquet"
    columns = frame(table)
    columns.insert(2, "label", columns.pop("label"))
    columns.to_parquet(path)
    table.all_samples(load_data(path, options=DataOptions(target_column=target)))


def test_types_of_numbers_and_missing_cells(tmp_path):
    path = write(
        tmp_path / "d.parquet",
        a=pa.array([1, None, 3], pa.int16()),
        b=pa.array([1.5, 2.5, None], pa.float32()),
        c=pa.array([True, False, None]),
        d=pa.array([1, 2, 3], pa.decimal128(5, 2)),
        e=pa.array([2**60, 1, 2], pa.uint64()),
        f=pa.nulls(3),
        y=pa.array([0, 1, 1]),
    )
    samples = read_parquet(path, None)
    nan = np.nan
    expected = [[1, 1.5, 1, 1, 2**60, nan], [nan, 2.5, 0, 2, 1, nan], [3, nan, nan, 3, 2, nan]]
    np.testing.assert_array_equal(samples.series[:, 0], expected)
    assert samples.targets.tolist() == [0, 1, 1]


LISTS = {
    "list": pa.list_(pa.float64()),
    "large_list": pa.large_list(pa.float32()),
    "integers": pa.list_(pa.int64()),
    "fixed size": pa.list_(pa.float64(), 3),
}
ROWS = [[1, 2, 3], None, [4, None, 6], [7, 8, 9]]


@pytest.mark.parametrize("kind", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("row_group", [2, 100])
def test_lists_keep_their_rows(tmp_path, kind, row_group):
    """Missing lists do not shift the others against the targets, as `flatten` would."""
    other = [[10, 20, 30], [40, 50, 60], None, [70, 80, 90]]
    table = pa.table({"a": pa.array(ROWS, kind), "b": pa.array(other, kind), "y": ["u", "v", "w", "x"]})
    parquet.write_table(table, tmp_path / "d.parquet", row_group_size=row_group)
    samples = read_parquet(tmp_path / "d.parquet", None)
    nan = np.nan
    np.testing.assert_array_equal(
        samples.series,
        [
            [[1, 2, 3], [10, 20, 30]],
            [[nan] * 3, [40, 50, 60]],
            [[4, nan, 6], [nan] * 3],
            [[7, 8, 9], [70, 80, 90]],
        ],
    )
    assert samples.targets.tolist() == ["u", "v", "w", "x"]
    assert samples.lengths.tolist() == [3, 3, 3, 3]


def test_values_behind_a_missing_list_are_not_read():
    """Arrow lets a list that is missing have values, as where a mask was laid over an array."""
    column = pa.ListArray.from_arrays(
        pa.array([0, 2, 4, 6], pa.int32()),
        pa.array([1.0, 2, 3, 4, 5, 6]),
        mask=pa.array([False, True, False]),
    )
    table = pa.table({"a": column, "y": ["u", "v", "w"]})
    expected = [[1, 2], [np.nan, np.nan], [5, 6]]
    np.testing.assert_array_equal(samples_of_arrow("data", table, None).series[:, 0], expected)
    np.testing.assert_array_equal(samples_of_arrow("data", table[1:], None).series[:, 0], expected[1:])


@pytest.mark.parametrize("lengths", ["pad", "resample"])
def test_lists_of_several_lengths(tmp_path, lengths):
    random = np.random.default_rng(0)
    a = [random.standard_normal(3 + i % 5).tolist() for i in range(30)]
    b = [random.standard_normal(3 + i % 5).tolist() for i in range(30)]
    b[4][-1] = None  # missing, although it is at the end
    y = ["up" if i % 2 else "down" for i in range(30)]
    path = write(tmp_path / "d.parquet", a=a, b=b, y=y)
    task = load_data(path, options=DataOptions(lengths=lengths))
    assert task.input_shape == (2, 7)
    assert any("missing values (1 in 1 samples)" in each for each in task.notes)
    assert any(each.startswith("the series have 3 to 7 values; ") for each in task.notes)
    known = {np.float32(row[0]): i for i, row in enumerate(a)}
    for inputs, targets in (task.train, task.validation, task.test):
        for row, target in zip(inputs.numpy(), targets.tolist(), strict=True):
            index = known[row[0, 0]]
            assert task.labels[target] == y[index]
            if lengths == "pad":
                np.testing.assert_array_equal(row[0, : len(a[index])], np.float32(a[index]))
            else:
                at = np.linspace(0, len(a[index]) - 1, 7)
                expected = np.interp(at, np.arange(len(a[index])), a[index])
                np.testing.assert_allclose(row[0], expected, rtol=1e-5, atol=1e-6)  # float32


def test_a_pair_of_files(tmp_path, tables):
    for part, table in zip(("TRAIN", "TEST"), tables, strict=True):
        frame(table).to_parquet(tmp_path / f"Flow_{part}.parquet")
    task = load_data(tmp_path)
    np.testing.assert_array_equal(task.test.inputs[:, 0].numpy(), tables[1].x.astype(np.float32), strict=True)
    assert [task.labels[each] for each in task.test.targets] == tables[1].y.tolist()


CLASSES = {
    "text": (pa.array(["b", "a"]), ("a", "b")),
    "large text": (pa.array(["b", "a"], pa.large_string()), ("a", "b")),
    "categories": (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
    "1..k": (pa.array([1, 2], pa.uint8()), ("1", "2")),
    "-1/+1": (pa.array([-1, 1]), ("-1", "1")),
    "gaps": (pa.array([3, 70]), ("3", "70")),
    "booleans": (pa.array([True, False]), ("False", "True")),
    "whole floats": (pa.array([1.0, 2.0]), ("1", "2")),
    "text that counts": (pa.array(["1", "2"]), ("1", "2")),
}


@pytest.mark.parametrize(("y", "labels"), CLASSES.values(), ids=CLASSES)
def test_classes_under_any_name(tmp_path, y, labels):
    y = y.take(pa.array([i % 2 for i in range(20)]))
    task = load_data(write(tmp_path / "d.parquet", a=np.arange(20.0), b=np.zeros(20), y=y))
    assert task.labels == labels
    values = [str(int(each) if isinstance(each, float) else each) for each in y.to_pylist()]
    for inputs, targets in (task.train, task.validation, task.test):
        assert [labels[each] for each in targets] == [values[int(each)] for each in inputs[:, 0, 0]]


LIST = [[1.0, 2.0]] * 10
LABELS = ["u", "v"] * 5
WRONG = {
    "text": ({"a": LABELS, "b": [1.0] * 10, "y": LABELS}, "column 'a' holds string; leave it out, or turn it into"),
    "lists and numbers": (
        {"a": LIST, "id": [1] * 10, "y": LABELS}, "column 'id' holds single values and column 'a' lists; keep",
    ),
    "lists of text": ({"a": [["x"]] * 10, "y": LABELS}, "column 'a' holds lists of string; write lists of numbers"),
    "lists of lists": ({"a": [[[1.0]]] * 10, "y": LABELS}, "column 'a' holds lists of list<"),
    "two lengths": (
        {"a": LIST, "b": [*LIST[:4], [1.0], *LIST[5:]], "y": LABELS}, "row 4 (from 0) has lists of 1 and 2 values",
    ),
    "empty lists": ({"a": [[]] * 10, "y": LABELS}, "all lists are empty"),
    "no target": ({"a": LIST, "y": [*LABELS[:9], None]}, "row 9 (from 0), column 'y': the target is missing; fill"),
    "targets that are lists": ({"y": LABELS, "a": LIST}, "column 'a' holds list<"),
    "one column": ({"a": LIST}, "it has one column; a table needs"),
    "no rows": ({"a": pa.array([], pa.float64()), "y": pa.array([], pa.string())}, "it has no rows"),
    "one class": ({"a": LIST, "y": ["u"] * 10}, "column 'y' holds the one class u"),
    "infinity": ({"a": [[np.inf, 1.0], *LIST[1:]], "y": LABELS}, "the table holds 1 values that are NaN or inf"),
    "NaN targets": ({"a": LIST, "y": [0.0, np.nan] * 5}, "column 'y' is nan at index 1"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path, refusal, columns, expected):
    message = refusal(write(tmp_path / "d.parquet", **columns))
    assert message.startswith(f"{tmp_path / 'd.parquet'}: ")
    assert expected in message


def test_files_that_are_no_parquet(tmp_path, refusal):
    path = tmp_path / "d.parquet"
    path.write_text("a,b,c\n")
    assert "not a whole Parquet file" in refusal(path)
    write(path, a=[1.0] * 30, y=[1] * 30)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a whole Parquet file" in refusal(path)
    path.write_bytes(b"")
    assert "not a whole Parquet file" in refusal(path)
    assert "no such file" in refusal(tmp_path / "absent.parquet")
    table = pa.Table.from_arrays([pa.array([1.0] * 30)] * 3, names=["a", "a", "y"])
    parquet.write_table(table, path)
    assert "columns 0 and 1 (from 0) are both called 'a'" in refusal(path)


def test_pairs_that_differ(tmp_path, refusal):
    write(tmp_path / "d_TRAIN.parquet", a=LIST, b=LIST, y=LABELS)
    write(tmp_path / "d_TEST.parquet", a=LIST, y=LABELS)
    assert "its series have 1 channels, those of d_TRAIN.parquet 2" in refusal(tmp_path)
    write(tmp_path / "d_TEST.parquet", a=LIST, c=LIST, y=LABELS)
    assert "column 1 of the series is 'c' and 'b' in d_TRAIN.parquet" in refusal(tmp_path)
    write(tmp_path / "d_TEST.parquet", a=LIST, b=LIST, y=["u", "w"] * 5)
    assert "column 'y' of d_TEST.parquet is w at index 1, a class that column 'y' never has" in refusal(
        tmp_path
    )


def test_data_frames(table):
    task = load_data(frame(table))
    table.all_samples(task)
    assert (task.name, task.source["target_column"]) == ("table", "column 'label'")
    table.all_samples(load_data(pa.Table.from_pandas(frame(table))))
    categories = frame(table).astype({"label": "category"})
    table.all_samples(load_data(categories, options=DataOptions(target_column="label")))
    changed = frame(table)
    changed.iloc[0, 0] += 1
    assert load_data(changed).source["sha256"] != task.source["sha256"]


@pytest.mark.parametrize("cell", [list, np.asarray, pd.Series])
def test_data_frames_of_series(table, cell):
    nested = pd.DataFrame(
        {"a": [cell(row) for row in table.x], "b": [cell(-row) for row in table.x], "y": table.y}
    )
    task = load_data(nested)
    assert task.input_shape == (2, 5)
    known = {np.float32(row[0]): (row, label) for row, label in zip(table.x, table.y, strict=True)}
    for row, target in zip(*task.test, strict=True):
        values, label = known[row[0, 0].numpy()[()]]
        np.testing.assert_array_equal(row.numpy(), np.stack([values, -values]).astype(np.float32))
        assert task.labels[target] == label


def test_what_is_wrong_with_a_data_frame(refusal):
    assert "data: a column holds no values of one type" in refusal(
        pd.DataFrame({"a": [1, "x"], "y": ["u", "v"]})
    )
    levels = pd.MultiIndex.from_product([range(5), range(3)], names=["sample", "time"])
    long = pd.DataFrame({"a": np.arange(15.0), "y": 1}, index=levels)
    assert "data: it has row names of 2 levels, so that a sample has several rows" in refusal(long)
    assert "data: X has row names of 2 levels" in refusal({"X": long[["a"]], "y": np.arange(5)})
    assert "data: list is not a data set; give a path, arrays by name or a data frame" in refusal([1, 2])
    assert "leave out `layout=channels-last`" in refusal(pd.DataFrame({"a": [1]}), layout="channels-last")
