"""CSV files, as pandas and other programs write them."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.tables import text_table
from dashdeploy.data.readers.tables.text_table import read_text_table
from dashdeploy.errors import MissingCapabilityError


def frame(table):
    return pd.DataFrame({**{f"t{i}": column for i, column in enumerate(table.x.T)}, "label": table.y})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_pandas_writes(tmp_path, table, separator, header, ending):
    path = tmp_path / "flow.csv"
    frame(table).to_csv(path, sep=separator, header=header, index=False, lineterminator=ending)
    task = load_data(path)
    table.all_samples(task)
    assert (task.name, task.input_shape, task.labels, len(task.test.targets)) == (
        "flow", (1, 5), ("down", "left", "up"), 6,
    )  # fmt: skip
    named = ", 'label'" if header else ""
    said = f"what is predicted is the last column{named}; `target_column` chooses another"
    assert task.notes[0] == said and len(task.notes) == 3
    assert task.source["target_column"] == ("column 'label'" if header else "column 5 (from 0)")
    assert task.source["path"] == str(path)


def test_row_names_of_pandas_are_left_out(tmp_path, table):
    path = tmp_path / "flow.csv"
    frame(table).to_csv(path)
    task = load_data(path)
    table.all_samples(task)
    assert "the first column has no name and counts the rows: it is left out" in task.notes


@pytest.mark.parametrize("names", [list(range(1, 6)), ["id", 1, 2, 3, 4], list("abcde")])
@pytest.mark.parametrize("label", ["label", "0", "sort"])
def test_headers_that_count(tmp_path, table, names, label):
    path = tmp_path / "flow.csv"
    pd.DataFrame(table.x, columns=names).assign(**{label: table.y}).to_csv(path, index=False)
    table.all_samples(load_data(path))


@pytest.mark.parametrize(
    ("target", "at"), [("label", 0), ("label", 2), ("0", 0), (0, 0), (2, 2), (-1, 5), ("-1", 5)]
)
@pytest.mark.parametrize("header", [True, False])
def test_the_target_column(tmp_path, table, target, at, header, refusal):
    columns = frame(table)
    columns.insert(at, "label", columns.pop("label"))
    path = tmp_path / "flow.csv"
    columns.to_csv(path, index=False, header=header)
    if target == "label" and not header:
        message = refusal(path, target_column=target)
        assert (
            "it has no header, so no column is called 'label'; give an index from 0 in `target_column`"
            in message
        )
        return
    task = load_data(path, options=DataOptions(target_column=target))
    table.all_samples(task)
    assert not any("target_column" in each for each in task.notes)


def test_a_name_comes_before_an_index(tmp_path, table):
    path = tmp_path / "flow.csv"
    pd.DataFrame({"3": table.y, **{str(i): table.x[:, i] for i in (0, 1, 2, 4)}}).to_csv(path, index=False)
    task = load_data(path, options=DataOptions(target_column="3"))
    assert task.labels == ("down", "left", "up")
    np.testing.assert_array_equal(
        np.sort(task.train.inputs[:, 0, 3]),
        np.sort([row[4] for row in table.x.astype("f4") if row[0] in task.train.inputs[:, 0, 0]]),
    )


def test_missing_cells_are_interpolated_or_refused(tmp_path, table, refusal):
    path = tmp_path / "flow.csv"
    table.x[4, 1:3], table.x[7, 4] = np.nan, np.nan
    frame(table).to_csv(path, index=False)
    content = path.read_text().replace(",,", ",NaN,?".removesuffix("?"), 1)
    path.write_text(content)
    task = load_data(path)
    first, last = table.x[4, [0, 3]]
    table.x[4, 1:3] = first + (last - first) * np.array([1, 2]) / 3
    table.x[7, 4] = table.x[7, 3]  # a table has no padding: the last value is repeated
    rows = np.concatenate([each.inputs[:, 0].numpy() for each in (task.train, task.validation, task.test)])
    for row in table.x[[4, 7]]:
        found = rows[rows[:, 0] == np.float32(row[0])]
        np.testing.assert_allclose(found[0], row, rtol=1e-5)  # float32
    assert "missing values (3 in 2 samples) are interpolated" in task.notes
    assert "the table holds 3 values that are NaN or infinite" in refusal(path, missing="refuse")


@pytest.mark.parametrize("sign", ["", "NaN", "nan", "NA", "?", "null", "None", "N/A", "-", " "])
def test_signs_of_missing_values(tmp_path, sign):
    path = tmp_path / "flow.csv"
    path.write_text(f"1,2.5,3,a\n4,{sign},6,b\n")
    np.testing.assert_array_equal(read_text_table(path, None).series[:, 0], [[1, 2.5, 3], [4, np.nan, 6]])


@pytest.mark.parametrize("labels", ["text", "1..k", "-1/+1", "gaps", "booleans", "whole floats", "NA"])
def test_classes_under_any_name(tmp_path, labels):
    values = {
        "text": ["c, d", "ä b"], "1..k": [1, 2], "-1/+1": [-1, 1], "gaps": [3, 70], "booleans": [False, True],
        "whole floats": [1.0, 2.0], "NA": ["NA", "None"],
    }[labels]  # fmt: skip
    y = [values[i % 2] for i in range(20)]
    pd.DataFrame({"a": np.arange(20.0), "b": 0.5, "y": y}).to_csv(tmp_path / "d.csv", index=False)
    task = load_data(tmp_path / "d.csv")
    expected = tuple(str(int(each) if isinstance(each, float) else each) for each in values)
    assert task.labels == expected
    for inputs, targets in (task.train, task.validation, task.test):
        assert (inputs[:, 0, 0].numpy() % 2).tolist() == targets.tolist()


def test_numbers_to_predict(tmp_path, refusal):
    values = np.random.default_rng(0).standard_normal((40, 4))
    pd.DataFrame(values).to_csv(tmp_path / "d.csv", index=False, header=False)
    task = load_data(tmp_path / "d.csv", options=DataOptions(predict="regression"))
    known = {np.float32(row[0]): np.float32(row[3]) for row in values}
    assert all(known[x[0, 0]] == y[0] for x, y in zip(*map(np.asarray, task.train), strict=True))
    assert "column 3 (from 0) is" in refusal(tmp_path / "d.csv")
    assert "add `predict=regression`" in refusal(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_text("a,b,y\n" + "1,2,3\n" * 9 + "1,2,x\n")
    message = refusal(tmp_path / "d.csv", predict="regression")
    assert (
        "line 11, column 'y': 'x' is not a number; leave out `predict=regression` to learn classes" in message
    )


def test_a_pair_of_files(tmp_path, tables):
    for part, table in zip(("TRAIN", "TEST"), tables, strict=True):
        frame(table).to_csv(tmp_path / f"Flow_{part}.csv", index=False)
    tasks = [load_data(tmp_path / name) for name in ("Flow_TRAIN.csv", "Flow_TEST.csv", "")]
    assert tasks[0].source == tasks[1].source == tasks[2].source
    task = tasks[0]
    assert task.name == "Flow"
    assert "test_split" not in task.source
    np.testing.assert_array_equal(task.test.inputs[:, 0].numpy(), tables[1].x.astype(np.float32), strict=True)
    assert [task.labels[each] for each in task.test.targets] == tables[1].y.tolist()
    assert len(task.train.targets) + len(task.validation.targets) == 24


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Train", "Test"), ("d-train", "d-test"), ("d_train", "d_test")]
)
def test_names_of_pairs(tmp_path, tables, names):
    folder = tmp_path / "flow"
    folder.mkdir()
    for name, table in zip(names, tables, strict=True):
        frame(table).to_csv(folder / f"{name}.csv", index=False)
    task = load_data(folder / f"{names[1]}.csv")
    assert task.name == ("d" if "d" in names[0] else "flow")
    assert len(task.test.targets) == 9


def test_a_training_file_without_a_test_file_is_split(tmp_path, table):
    frame(table).to_csv(tmp_path / "flow_train.csv", index=False)
    assert load_data(tmp_path).source["test_split"].startswith("20%")


GOOD = "1,2,3,up\n4,5,6,down\n" * 8
WRONG = {
    "empty": ("", "the file is empty; write one sample"),
    "blank": ("\n \n", "the file is empty"),
    "a header alone": ("a,b,label\n", "a header is all that it has"),
    "one column": ("1\n2\n", "line 1 has one cell; separate the values and the target by commas"),
    "too few cells": (GOOD + "\n7,8,up\n", "line 18 has 3 cells, the first 4; give every line the same cells"),
    "too many cells": ("a,b,c,label\n" + GOOD + "7,8,9,1,up\n", "line 18 has 5 cells, the first 4"),
    "text": (GOOD + "7,x8,9,up\n", "line 17, column 1 (from 0): 'x8' is not a number; correct it, or leave"),
    "text under a header": ("a,b,c,d\n" + GOOD + "7,8,x9,up\n", "line 18, column 'c': 'x9' is not a number"),
    "text in the first line": ("0.1,x,3,up\n" + GOOD, "line 1, column 1 (from 0): 'x' is not a number"),
    "infinity": (GOOD + "7,inf,9,up\n", "line 17, column 1 (from 0): 'inf' is not a number"),
    "decimal commas": ("1,5;2,5;up\n" * 9, "line 1, column 0 (from 0): '1,5' is not a number; write decimal points"),
    "names twice": ("a,b,a,label\n" + GOOD, "columns 0 and 2 (from 0) are both called 'a'; rename one"),
    "no class": (GOOD + "7,8,9,\n", "line 17, column 3 (from 0): the target is missing; fill it in"),
    "one class": (GOOD.replace("up", "down"), "column 3 (from 0) holds the one class down"),
    "too few": ("a,b,c,label\n" + GOOD[:67], "the table has 7 samples (6 without the test part)"),
    "binary": ("\0\1\2", "not a text file"),
    "every class once": (
        "".join(f"{i},{i}.5,c{i}\n" for i in range(12)), "has no class with two samples",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path, refusal, text, expected):
    path = tmp_path / "d.csv"
    path.write_text(text)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


PAIRS = {
    "other columns": ("a,b,label\n1,2,up\n", "column 1 of the series is 'b' and 'c' in d_TRAIN.csv; give both"),
    "more columns": ("1,2,3,4,up\n", "its series have 4 columns, those of d_TRAIN.csv 3"),
    "no header": ("1.5,2,3,up\n", "it has no header and d_TRAIN.csv one; write both files alike"),
    "an unknown class": (
        "a,c,b,label\n1,2,3,up\n1,2,3,left\n",
        "column 'label' of d_TEST.csv is left at index 1, a class that column 'label' never has (it has down, up)",
    ),
    "another kind of class": (
        "a,c,b,label\n1,2,3,1\n", "column 'label' of d_TEST.csv is 1 at index 0, a class that column 'label' never",
    ),
    "no such column": ("a,c,b,sort\n1,2,3,up\n", "no column is called 'label' (it has a, c, b, sort)"),
}  # fmt: skip


@pytest.mark.parametrize(("test", "expected"), PAIRS.values(), ids=PAIRS)
def test_what_is_wrong_with_a_pair(tmp_path, refusal, test, expected):
    header = "" if expected.startswith("its") else "a,c,b,label\n"
    (tmp_path / "d_TRAIN.csv").write_text(header + GOOD)
    (tmp_path / "d_TEST.csv").write_text(test)
    by_name = {"target_column": "label"} if expected.startswith("no column") else {}
    assert expected in refusal(tmp_path / "d_TEST.csv", **by_name)


def test_columns_that_are_not_there(tmp_path, refusal):
    path = tmp_path / "d.csv"
    path.write_text("a,b,c,label\n" + GOOD)
    assert "no column is called 'sort' (it has a, b, c, label); correct `target_column`" in refusal(
        path, target_column="sort"
    )
    for index in ("4", "-5"):
        assert f"it has 4 columns and none of index {index}; correct" in refusal(path, target_column=index)
    path.write_text(",".join(f"c{i}" for i in range(20)) + "\n" + ",".join(map(str, range(20))) + "\n")
    assert "(it has c0, c1, c2, c3, …, c17, c18, c19)" in refusal(path, target_column="sort")


def test_files_that_are_not_there(tmp_path, refusal):
    assert "absent.csv: no such file; check the path of `data`" in refusal(tmp_path / "absent.csv")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(GOOD)
    assert "it holds 2 data sets (a.csv, b.csv); name one of these files" in refusal(tmp_path)


def test_lines_longer_than_a_block(tmp_path):
    """pyarrow refuses a line longer than a block, which has a megabyte by default."""
    values = np.random.default_rng(0).standard_normal((10, 120_000))
    lines = [",".join(map(repr, row.tolist())) + f",{'ab'[i % 2]}" for i, row in enumerate(values)]
    path = tmp_path / "d.csv"
    path.write_text("\n".join(lines))
    assert len(lines[0]) > 2**20
    np.testing.assert_array_equal(read_text_table(path, None).series[:, 0], values)


@pytest.mark.parametrize("together", [1, 7, 100])
def test_columns_are_read_together(tmp_path, refusal, monkeypatch, together):
    """As many as it likes at once; a wrong cell is named by its line and its column."""
    monkeypatch.setattr(text_table, "_CELLS_AT_ONCE", 4 * together)
    values = np.arange(4 * 20).reshape(4, 20) / 8
    lines = [[*map(str, row), "ab"[i % 2]] for i, row in enumerate(values)]
    lines[2][11] = "NaN"
    path = tmp_path / "d.csv"
    path.write_text("\n".join(map(",".join, [[f"c{i}" for i in range(20)] + ["y"], *lines])))
    values[2, 11] = np.nan
    np.testing.assert_array_equal(read_text_table(path, None).series[:, 0], values)
    lines[1][15], lines[3][13] = "1.5x", "?!"
    path.write_text("\n".join(map(",".join, [[f"c{i}" for i in range(20)] + ["y"], *lines])))
    assert "line 5, column 'c13': '?!' is not a number" in refusal(
        path
    )  # the first column's, not the first line's


def test_quotes_and_line_breaks(tmp_path, refusal):
    path = tmp_path / "d.csv"
    path.write_text('"a","b, c","la\nbel"\n' + '1,"2","x ""y"""\n"3",4,z\n' * 8 + "1,q,z\n")
    assert "line 18, column 'b, c': 'q' is not a number" in refusal(path)  # rows, with the header
    path.write_text(path.read_text().replace("q", "5"))
    assert read_text_table(path, None).target == "column 'la\\nbel'"
    assert load_data(path).labels == ('x "y"', "z")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "d.csv"
    path.write_bytes(("größe,b,art\n" + "1,2,höher\n3,4,tiefer\n" * 8).encode(encoding))
    task = load_data(path)
    assert task.labels == ("höher", "tiefer")
    assert read_text_table(path, "art").names == ("größe", "b")


VALUES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(2, 5)),
    elements=st.floats(allow_infinity=False, allow_nan=True),
)


@given(
    VALUES, st.sampled_from(",;\t"), st.booleans(), st.sampled_from(["up", "a,b", 'the "class"', "x;y", "NA"])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_values_come_back_as_pandas_wrote_them(tmp_path, values, separator, header, label):
    path = tmp_path / "d.csv"
    columns = {f"t{i}": column for i, column in enumerate(values.T)}
    written = pd.DataFrame({**columns, "label": [label, *["down"] * (len(values) - 1)]})
    written.to_csv(path, sep=separator, header=header, index=False, na_rep="NaN")
    samples = read_text_table(path, "label" if header else -1)
    np.testing.assert_array_equal(samples.series[:, 0], values)
    assert samples.targets.tolist() == written["label"].tolist()
    assert samples.names == (tuple(columns) if header else None)


def test_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text(GOOD)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    for name in ("d.csv", "d.parquet"):
        with pytest.raises(MissingCapabilityError) as caught:
            load_data(tmp_path / name)
        assert 'pyarrow reads tables; install it with: pip install "dashdeploy[formats]"' in str(caught.value)
    monkeypatch.setitem(sys.modules, "arff", None)
    (tmp_path / "d.arff").write_text("@relation d\n")
    with pytest.raises(
        MissingCapabilityError, match=r"liac-arff reads .arff files; install it with: pip install"
    ):
        load_data(tmp_path / "d.arff")


def test_a_header_of_fractions(tmp_path, table):
    names = [400.5, 402.0, 403.5, 405.0, 406.5]
    path = tmp_path / "spectra.csv"
    pd.DataFrame(table.x, columns=names).assign(Class=table.y).to_csv(path, index=False)
    table.all_samples(load_data(path))


def test_samples_that_count_are_no_header(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(GOOD)
    assert read_text_table(path, None).names is None
    assert len(read_text_table(path, None).targets) == 16
    (tmp_path / "d_TRAIN.csv").write_text(GOOD)
    (tmp_path / "d_TEST.csv").write_text("1,2,3,up\n")
    assert load_data(tmp_path / "d_TEST.csv").test.inputs.tolist() == [[[1, 2, 3]]]
