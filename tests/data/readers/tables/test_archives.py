"""ARFF files and the UCR archive's text files: its own, and what liac-arff writes."""

from importlib.util import find_spec
from pathlib import Path

import arff
import numpy as np
import pandas as pd
import pytest

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.tables.arff import read_arff
from dashdeploy.data.readers.tables.text_table import read_text_table
from dashdeploy.data.readers.ts_format import read_ts


@pytest.fixture(scope="module")
def archive():
    """Files of the archives, as aeon's package has them: the same data as .ts, .tsv and .arff."""
    spec = find_spec("aeon")  # which does not import it
    if spec is None:
        pytest.skip("needs aeon")
    folder = Path(spec.submodule_search_locations[0], "datasets", "data")
    return {each.name: each for each in folder.glob("*/*") if each.is_file()}


def test_the_archive_s_tsv_is_its_ts(archive):
    expected = read_ts(archive["GunPoint_TRAIN.ts"])
    samples = read_text_table(archive["GunPoint_TRAIN.tsv"], None, archive=True)
    np.testing.assert_allclose(
        samples.series, np.stack(expected.series), rtol=0, atol=5e-7
    )  # six digits in the .ts
    assert samples.targets.tolist() == [expected.classes[index] for index in expected.targets]
    assert samples.notes == ("what is predicted is the first column; `target_column` chooses another",)


@pytest.mark.parametrize("name", ["GunPoint", "BasicMotions"])
def test_the_archive_s_arff_is_its_ts(archive, name):
    expected = read_ts(archive[f"{name}_TRAIN.ts"])
    samples = read_arff(archive[f"{name}_TRAIN.arff"], None)
    assert samples.series.shape == {"GunPoint": (50, 1, 150), "BasicMotions": (40, 6, 100)}[name]
    np.testing.assert_allclose(samples.series, np.stack(expected.series), rtol=0, atol=5e-7)
    assert [each.lower() for each in samples.targets] == [
        expected.classes[i].lower() for i in expected.targets
    ]


@pytest.mark.parametrize("end", [".tsv", ".arff"])
def test_a_pair_becomes_the_task_that_its_ts_pair_becomes(archive, tmp_path, end):
    for suffix in (".ts", end):
        for part in ("TRAIN", "TEST"):
            (tmp_path / f"GunPoint_{part}{suffix}").write_bytes(
                archive[f"GunPoint_TRAIN{suffix}"].read_bytes()
            )
    task, same = (load_data(tmp_path / f"GunPoint_TEST{suffix}", seed=3) for suffix in (end, ".ts"))
    assert (task.name, task.input_shape, task.labels) == (same.name, same.input_shape, same.labels)
    for ours, theirs in (
        (task.train, same.train),
        (task.validation, same.validation),
        (task.test, same.test),
    ):
        np.testing.assert_allclose(ours.inputs, theirs.inputs, rtol=0, atol=5e-7)
        assert ours.targets.tolist() == theirs.targets.tolist()


def write_ucr(path, rows, form):
    """Lines of the archive: 2018's .tsv, 2015's with commas, or those of timeseriesclassification.com with spaces."""
    if form == "tab":
        lines = ["\t".join(repr(each) for each in row).replace("nan", "NaN") for row in rows]
    elif form == "comma":
        lines = [",".join(repr(each) for each in row) for row in rows]
    else:
        lines = ["".join(f"  {each:.17e}" for each in row).replace("nan", "NaN") for row in rows]
    path.write_text("\n".join(lines) + "\n")


FORMS = [(".tsv", "tab"), (".txt", "comma"), (".txt", "space"), (".txt", "tab")]


@pytest.mark.parametrize(("suffix", "form"), FORMS)
@pytest.mark.parametrize("classes", [(1, 2, 3), (-1, 1, 4)])
def test_text_files_of_the_archive(tmp_path, suffix, form, classes):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((24, 6)), [classes[i % 3] for i in range(24)]
    x[4, 2] = np.nan  # inside: missing
    x[5, 4:] = np.nan  # at the end: a shorter series
    x_test, y_test = random.standard_normal((6, 6)), [classes[i % 3] for i in range(6)]
    for part, values, labels in (("TRAIN", x, y), ("TEST", x_test, y_test)):
        rows = [[label, *row.tolist()] for label, row in zip(labels, values, strict=True)]
        write_ucr(tmp_path / f"Mine_{part}{suffix}", rows, form)
    for path in (tmp_path, tmp_path / f"Mine_TRAIN{suffix}"):
        task = load_data(path)
        assert (task.name, task.labels) == ("Mine", tuple(map(str, sorted(classes))))
        np.testing.assert_array_equal(task.test.inputs[:, 0].numpy(), x_test.astype(np.float32), strict=True)
        assert [task.labels[each] for each in task.test.targets] == list(map(str, y_test))
        assert "the series have 4 to 6 values; shorter ones are filled" in " ".join(task.notes)
        assert "missing values (1 in 1 samples) are interpolated" in task.notes
    rows = np.concatenate([task.train.inputs[:, 0], task.validation.inputs[:, 0]])
    mean = np.nanmean(np.where(np.isnan(x) & (np.arange(24) == 4)[:, None], (x[4, 1] + x[4, 3]) / 2, x))
    np.testing.assert_allclose(rows[rows[:, 0] == np.float32(x[5, 0])][0, 4:], mean, rtol=1e-5)  # float32
    resampled = load_data(path, options=DataOptions(lengths="resample"))
    rows = np.concatenate([resampled.train.inputs[:, 0], resampled.validation.inputs[:, 0]])
    expected = np.interp(np.linspace(0, 3, 6), np.arange(4), x[5, :4])
    np.testing.assert_allclose(rows[rows[:, 0] == np.float32(x[5, 0])][0], expected, rtol=1e-5)


def test_a_target_column_of_the_archive_s_files(tmp_path):
    for part in ("TRAIN", "TEST"):
        write_ucr(tmp_path / f"Mine_{part}.tsv", [[0.5 + i, 1.5, i % 2 + 1] for i in range(20)], "tab")
    task = load_data(tmp_path, options=DataOptions(target_column="-1"))
    assert (task.labels, task.input_shape) == (("1", "2"), (1, 2))
    assert task.test.inputs[3, 0].tolist() == [3.5, 1.5]


def test_a_tsv_with_a_header_or_without_a_partner_is_a_table(tmp_path, table):
    whole = pd.DataFrame(table.x).assign(label=table.y)
    for part in ("TRAIN", "TEST"):
        whole.to_csv(tmp_path / f"d_{part}.tsv", sep="\t", index=False, header=[*"abcde", "label"])
    task = load_data(tmp_path)
    np.testing.assert_array_equal(task.test.inputs[:, 0].numpy(), table.x.astype(np.float32))
    whole.to_csv(tmp_path / "flow.tsv", sep="\t", index=False, header=False)
    table.all_samples(load_data(tmp_path / "flow.tsv"))


def test_what_is_wrong_with_the_archive_s_files(tmp_path, refusal):
    train, test = tmp_path / "d_TRAIN.tsv", tmp_path / "d_TEST.tsv"
    good = "1\t0.1\t0.2\n2\t0.3\t0.4\n" * 8
    train.write_text(good)
    assert "d_TEST.tsv: no such file; copy both files of the pair there" in refusal(train)
    test.write_text("3\t0.1\t0.2\n")
    assert (
        "column 0 (from 0) of d_TEST.tsv is 3 at index 0, a class that column 0 (from 0) never has (it has 1, 2)"
        in refusal(train)
    )
    test.write_text("1\t0.1\n")
    assert load_data(train).input_shape == (1, 2)  # series of the test may be shorter
    test.write_text("1\t0.1\tx\n")
    assert "d_TEST.tsv: line 1, column 2 (from 0): 'x' is not a number" in refusal(train)
    test.write_text("1\t0.1\t0.2\n2\t0.1\n")
    assert "d_TEST.tsv: line 2 has 2 cells, the first 3" in refusal(train)
    test.write_text("NaN\t0.1\t0.2\n")
    assert "d_TEST.tsv: line 1, column 0 (from 0): the target is missing" in refusal(train)
    (tmp_path / "notes.txt").write_text("good data\n")
    assert "notes.txt: its name does not tell what it is; name the pair NAME_TRAIN.txt" in refusal(
        tmp_path / "notes.txt"
    )


def liac(path, x, y, classes, names=None):
    """An ARFF file of one channel, as liac-arff writes it."""
    names = names or [f"t{i}" for i in range(x.shape[1])]
    kind = classes if isinstance(classes, str) else [str(each) for each in classes]
    content = {
        "relation": "mine",
        "attributes": [*((name, "REAL") for name in names), ("the class", kind)],
        "data": [
            [*(None if np.isnan(value) else value for value in row.tolist()), label]
            for row, label in zip(x, y, strict=True)
        ],
    }
    path.write_text(arff.dumps(content))
    return path


@pytest.mark.parametrize(
    "classes", [("up", "down", "to the left"), (1, 2, 3), (-1, 1, 4), ("ä", "x,y", "it's")]
)
def test_what_liac_arff_writes(tmp_path, classes):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((24, 5)), [str(classes[i % 3]) for i in range(24)]
    x[4, 2] = np.nan
    for part in ("TRAIN", "TEST"):
        liac(tmp_path / f"Mine_{part}.arff", x, y, classes)
    task = load_data(tmp_path)
    assert (task.name, task.input_shape) == ("Mine", (1, 5))
    assert task.labels == tuple(map(str, classes))  # in the file's order
    x[4, 2] = (x[4, 1] + x[4, 3]) / 2
    np.testing.assert_allclose(task.test.inputs[:, 0], x, rtol=1e-6)  # float32
    np.testing.assert_array_equal(np.delete(task.test.inputs[:, 0], 4, 0), np.delete(np.float32(x), 4, 0))
    assert [task.labels[each] for each in task.test.targets] == y


def test_one_arff_file_is_split_and_another_attribute_is_predicted(tmp_path, table):
    path = liac(tmp_path / "flow.arff", table.x, table.y, sorted(set(table.y)))
    table.all_samples(load_data(path))
    numbers = liac(tmp_path / "n.arff", table.x, table.x[:, 0].tolist(), "NUMERIC")
    task = load_data(numbers, options=DataOptions(predict="regression"))
    np.testing.assert_array_equal(task.test.inputs[:, 0, 0], task.test.targets[:, 0])


RELATIONAL = """% UEA's form
@relation 'Mine'
@attribute relationalAtt relational
@attribute t1 numeric
@attribute t2 numeric
@attribute t3 numeric
@end relationalAtt
@attribute activity {Standing,'Running fast'}
@data
'1.5,2,3\\n4,5,6',Standing
'7,?,9\\n-1e-3,11,12','Running fast'
"13,14,?\\n16,17,?",Standing
"""


def test_relational_attributes(tmp_path):
    path = tmp_path / "Mine_TRAIN.arff"
    path.write_text(RELATIONAL)
    samples = read_arff(path, None)
    nan = np.nan
    np.testing.assert_array_equal(
        samples.series,
        [[[1.5, 2, 3], [4, 5, 6]], [[7, nan, 9], [-1e-3, 11, 12]], [[13, 14, nan], [16, 17, nan]]],
    )
    assert samples.targets.tolist() == ["Standing", "Running fast", "Standing"]
    assert samples.classes == ("Standing", "Running fast")
    assert samples.lengths.tolist() == [3, 3, 2]  # ? at the end of all channels is padding


def test_relational_pairs_become_a_task(archive, tmp_path):
    content = archive["BasicMotions_TRAIN.arff"].read_bytes()
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"BasicMotions_{part}.arff").write_bytes(content)
    task = load_data(tmp_path)
    series = np.stack(read_ts(archive["BasicMotions_TRAIN.ts"]).series)
    assert task.labels == ("Standing", "Running", "Walking", "Badminton")
    np.testing.assert_allclose(task.test.inputs, series, rtol=0, atol=5e-6)


HEADER = "@relation d\n@attribute a numeric\n@attribute b numeric\n@attribute y {u,v}\n@data\n"
ROWS = "1,2,u\n3,4,v\n" * 8
ONE_CHANNEL = RELATIONAL.partition("@data\n")[0] + "@data\n"
WRONG = {
    "empty": ("", "not an ARFF file that can be read"),
    "no data": (HEADER, "no sample follows @data; copy the file again"),
    "text": ("hello\n", "not an ARFF file that can be read"),
    "ragged": (HEADER + "1,2,u\n1,2\n", "not an ARFF file that can be read (Bad @DATA instance format in line 7"),
    "not a number": (HEADER + "1,2,u\n1,x,v\n", "Invalid numerical value, at line 7"),
    "an unknown class": (HEADER + "1,2,w\n", "Data value w not found in nominal declaration, at line 6"),
    "a missing class": (HEADER + ROWS + "1,2,?\n", "sample 17, column 'y': the target is missing; fill it in"),
    "one class": (HEADER + "1,2,u\n" * 9, "column 'y' holds the one class u"),
    "text attributes": (HEADER.replace("b numeric", "b string") + "1,x,u\n", "attribute 'b' is not numeric; leave"),
    "the class comes first": (
        "@relation d\n@attribute y {u,v}\n@attribute b numeric\n@data\nu,1\n", "attribute 'y' is not numeric; leave",
    ),
    "ragged channels": (ONE_CHANNEL + "'1,2,3\\n4,5',Standing\n", "sample 1 has channels of 2 and 3 values; give"),
    "other channels": (
        ONE_CHANNEL + "'1,2,3',Standing\n'1,2,3\\n4,5,6',Standing\n", "sample 2 has 2 channels, the first 1; give",
    ),
    "text in channels": (ONE_CHANNEL + "'1,2,x',Standing\n", "sample 1: could not convert string to float: 'x'"),
    "an unknown class behind channels": (ONE_CHANNEL + "'1,2,3',Sitting\n", "declaration, at line 10"),
    "binary": ("\0", "not a text file"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path, refusal, text, expected):
    path = tmp_path / "d.arff"
    path.write_text(text)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_arff_targets_that_are_not_there(tmp_path, refusal):
    path = tmp_path / "d.arff"
    path.write_text(HEADER + ROWS)
    assert "no column is called 'class' (it has a, b, y)" in refusal(path, target_column="class")
    (tmp_path / "Mine_TRAIN.arff").write_text(RELATIONAL)
    (tmp_path / "Mine_TEST.arff").write_text(RELATIONAL)
    assert "attribute 'relationalAtt' is relational" in refusal(
        tmp_path / "Mine_TRAIN.arff", target_column="relationalAtt"
    )
    assert "sample 1, column 'y': 'u' is not a number" in refusal(path, predict="regression")
