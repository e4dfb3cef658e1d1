"""WFDB records, written by wfdb."""

import numpy as np
import pytest
import torch
import wfdb

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data

STEP = 2e-4  # of 16 bits for signals of this size


def signal(number=0, count=120, channels=2):
    noise = 0.1 * np.random.default_rng(number).standard_normal((count, channels))
    return np.sin(np.arange(count)[:, None] * (0.1 + 0.2 * (number % 2)) + [0, 1][:channels]) + noise


def write(folder, name, values=None, *, comments=(), **changes):
    folder.mkdir(parents=True, exist_ok=True)
    values = signal() if values is None else values
    settings = {
        "fs": 100,
        "units": ["mV"] * values.shape[1],
        "sig_name": ["I", "II", "III"][: values.shape[1]],
        "p_signal": values,
        "fmt": ["16"] * values.shape[1],
        "comments": list(comments),
    }
    wfdb.wrsamp(name, write_dir=str(folder), **(settings | changes))


@pytest.fixture
def folder(tmp_path):
    """Records r00 … with labels.csv, whose last six are for the test."""

    def make(count=20, table="record,label,split\n", split=True, comments=None, **changes):
        path = tmp_path / "hearts"
        rows = []
        for number in range(count):
            name = f"r{number:02d}"
            said = () if comments is None else comments(number)
            write(path, name, signal(number), comments=said, **changes)
            rows.append(
                f"{name},{'na'[number % 2]}"
                + (f",{'test' if number >= count - 6 else 'train'}" if split else "")
            )
        if table is not None:
            (path / "labels.csv").write_text(table + "\n".join(rows) + "\n")
        return path

    return make


def test_records_with_a_table(folder, whole):
    task = load_data(folder())
    assert (task.name, task.input_shape, task.labels) == ("hearts", (2, 120), ("a", "n"))
    expected = np.stack([signal(number).T for number in range(14, 20)])
    np.testing.assert_allclose(whole(task.test.inputs), expected, atol=STEP)
    assert task.test.targets.tolist() == [1, 0] * 3  # n, a, n, …
    assert len(task.train.targets) + len(task.validation.targets) == 14


def test_a_list_of_records_and_a_test_part_of_its_own(folder, refusal):
    path = folder(split=False, table="")
    (path / "labels.csv").rename(path / "REFERENCE.csv")
    (path / "RECORDS").write_text("".join(f"r{number:02d}\n" for number in range(18)))
    assert "line 19: record r18" in refusal(path)
    table = (path / "REFERENCE.csv").read_text().splitlines()[:16]
    (path / "REFERENCE.csv").write_text("\n".join(table))
    task = load_data(path, seed=1)
    assert task.source["test_split"] == "20% of the samples, stratified, seed 1"
    assert "2 records have no label and are left out, such as r16" in task.notes
    assert sorted(torch.bincount(task.test.targets).tolist()) == [1, 2]  # a fifth of 16, of 8 each


def test_comments_of_headers(folder, refusal):
    path = folder(
        table=None, comments=lambda number: ["Age: 50", f"Dx: {(426783006, 164889003)[number % 2]}"]
    )
    task = load_data(path)
    assert task.labels == ("164889003", "426783006")
    path = folder(table=None, comments=lambda number: ["Dx: 1,2" if number % 3 else "Dx: 2 ,7"])
    assert "r00.hea: it has several labels, 2 ,7; add `predict=multi-label`" in refusal(path)
    task = load_data(path, options=DataOptions(predict="multi-label"))
    assert task.labels == ("1", "2", "7")
    assert {tuple(row) for row in task.train.targets.tolist()} == {(1, 1, 0), (0, 1, 1)}


def test_numbers_to_predict(folder, refusal):
    path = folder(table=None)
    rows = "".join(f"r{number:02d},{number / 2}\n" for number in range(20))
    (path / "labels.csv").write_text("record,target\n" + rows)
    task = load_data(path, options=DataOptions(predict="regression"))
    assert task.kind == "regression" and len(task.test.targets) == 4
    (path / "labels.csv").write_text("record,target\n" + rows.replace("2.5", "much"))
    assert "line 7: the label much is not a number" in refusal(path, predict="regression")


def test_folders_that_divide(folder):
    path = folder(table=None)
    for number in range(20):
        part = path / ("test" if number > 13 else "training")
        part.mkdir(exist_ok=True)
        for end in ("hea", "dat"):
            (path / f"r{number:02d}.{end}").rename(part / f"r{number:02d}.{end}")
    (path / "labels.csv").write_text("".join(f"r{n:02d},{'na'[n % 2]}\n" for n in range(20)))
    task = load_data(path)
    assert len(task.test.targets) == 6 and "test_split" not in task.source
    (path / "RECORDS").write_text("training/\ntest/\n")
    assert torch.equal(load_data(path).test.inputs, task.test.inputs)


def test_channels_in_another_order_are_put_right(folder, whole):
    path = folder()
    write(path, "r15", signal(15)[:, ::-1], sig_name=["II", "I"])
    np.testing.assert_allclose(whole(load_data(path).test.inputs)[1], signal(15).T, atol=STEP)


def test_channels_of_several_rates_come_to_the_fastest(folder, whole):
    path = folder(table=None)
    time = np.arange(120)
    slow = np.sin(0.02 * 4 * time[:30])
    for number in range(20):
        write(
            path,
            f"r{number:02d}",
            p_signal=None,
            e_p_signal=[signal(number)[:, 0], slow],
            samps_per_frame=[4, 1],
            fs=25,
        )
    (path / "labels.csv").write_text("".join(f"r{n:02d},{'na'[n % 2]}\n" for n in range(20)))
    task = load_data(path)
    assert task.input_shape == (2, 120)
    for row in whole(task.test.inputs):
        np.testing.assert_allclose(row[1, 12:-16], np.sin(0.02 * time)[12:-16], atol=3e-3)
    rows = np.concatenate([whole(part.inputs) for part in (task.train, task.validation, task.test)])
    assert min(np.abs(row[0] - signal(3)[:, 0]).max() for row in rows) < STEP


def test_invalid_samples_are_missing_and_not_averaged(folder, refusal, whole):
    path = folder()
    gap = signal(15)
    gap[10:20, 0] = np.nan
    write(path, "r15", gap)
    task = load_data(path)
    assert (
        "missing values (10 in 1 samples) are interpolated" in task.notes
        and task.source["missing"] == "interpolate"
    )
    line = np.interp(np.arange(10, 20), [9, 20], gap[[9, 20], 0])
    np.testing.assert_allclose(whole(task.test.inputs)[1, 0, 10:20], line, atol=STEP)
    assert "x_test holds 10 values" in refusal(path, missing="refuse")


def test_rates_and_lengths(folder):
    path = folder()
    write(path, "r15", signal(15, 200), fs=200)
    write(path, "r16", signal(16, 90))
    task = load_data(path)
    assert task.input_shape == (2, 120)
    assert any("1 of 20 recordings are resampled to 100 Hz" in note for note in task.notes)
    assert any("recordings have 90 to 120 values" in note for note in task.notes)


def test_by_the_batch_the_numbers_are_the_same(folder, same_by_the_batch):
    path = folder()
    gap = signal(3)
    gap[10:20, 0] = np.nan
    write(path, "r03", gap)
    same_by_the_batch(path)


def flip(path):
    content = bytearray(path.read_bytes())
    content[40] ^= 4
    path.write_bytes(content)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


WRONG = {
    "a wrong checksum": (lambda p: flip(p / "r03.dat"), "r03.hea: the checksum of channel I is"),
    "cut short": (lambda p: (p / "r03.dat").write_bytes(b"12345678"), "r03.hea: its signals cannot be read"),
    "no signals": (lambda p: (p / "r03.dat").unlink(), "its signals are in r03.dat, which is not there"),
    "no header": (lambda p: (p / "RECORDS").write_text("r00\nr99\n"), "r99.hea: the header is missing"),
    "no header at all": (lambda p: (p / "r03.hea").write_text("hello\n"), "r03.hea: it is not a WFDB header"),
    "segments": (lambda p: (p / "r03.hea").write_text("r03/2 2 100 240\nr01 120\nr02 120\n"), "of several segments"),
    "other channels": (lambda p: write(p, "r03", signal(3, channels=1)), "its channels are I, those of r00 I, II"),
    "other units": (lambda p: write(p, "r03", units=["mV", "uV"]), "channel II is in uV, in r00 in mV"),
    "an empty list": (lambda p: (p / "RECORDS").write_text("\n"), "it names no record"),
    "no labels": (lambda p: (p / "labels.csv").unlink(), "no record has a label; write labels.csv"),
    "a record twice": (lambda p: edit(p / "labels.csv", "r03", "r02"), "line 5: r02 has a label already"),
    "an unknown record": (lambda p: edit(p / "labels.csv", "r03", "x"), "line 5: record x"),
    "an empty label": (lambda p: edit(p / "labels.csv", "r03,a", "r03,"), "line 5: the label is missing"),
    "an unknown split": (lambda p: edit(p / "labels.csv", "r03,a,train", "r03,a,later"), "later is not a split"),
    "no split": (lambda p: edit(p / "labels.csv", "r03,a,train", "r03,a,"), "r03 is of no split"),
    "no training": (lambda p: edit(p / "labels.csv", "train", "test"), "no record is for training"),
    "other columns": (lambda p: edit(p / "labels.csv", "label", "thing"), "its columns are record, thing, split"),
    "an unknown class": (lambda p: edit(p / "labels.csv", "r19,a", "r19,b"), "y_test"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(folder, name, refusal):
    change, text = WRONG[name]
    path = folder()
    change(path)
    assert text in refusal(path)
