"""The .ts format of the UCR and UEA archives."""

import gzip

import numpy as np
import pytest

from dashdeploy.data.arrays.lengths import HowLengths, all_to_one_length
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.ts_format import read_ts

HEADER = "# made by hand\n@problemName Mine\n@timeStamps false\n@classLabel true up down\n@data\n"
UP, DOWN = "1,2,3:0,0,1:up\n", "3,2,1,0:1,0,0,5:down\n"


@pytest.fixture
def pair(tmp_path):
    def write(train=HEADER + (UP + DOWN) * 6, test=HEADER + DOWN + UP, name="Mine"):
        for end, text in (("TRAIN", train), ("TEST", test)):
            (tmp_path / f"{name}_{end}.ts").write_text(text)
        return tmp_path / f"{name}_TRAIN.ts"

    return write


def test_reads_channels_lengths_and_classes(pair):
    content = read_ts(pair())
    assert content.classes == ("up", "down")
    assert [each.shape for each in content.series[:2]] == [(2, 3), (2, 4)]
    np.testing.assert_array_equal(content.series[1], [[3, 2, 1, 0], [1, 0, 0, 5]])
    assert content.targets.tolist() == [0, 1] * 6


def test_a_pair_becomes_a_task(pair, tmp_path):
    path = pair()
    task = load_data(path)
    assert (task.name, task.input_shape, task.labels, task.kind) == (
        "Mine",
        (2, 4),
        ("up", "down"),
        "classification",
    )
    assert [load_data(each).source for each in (tmp_path, tmp_path / "Mine_TEST.ts")] == [task.source] * 2
    np.testing.assert_array_equal(task.test.targets, [1, 0])


def test_several_lengths_are_said(pair):
    said = "the series have 3 to 4 values; shorter ones are filled with each channel's mean over the training data"
    assert load_data(pair()).notes == (f"{said} (`lengths=pad`)",)
    even = UP + DOWN.replace("3,2,1,0:1,0,0,5", "3,2,1:1,0,0")
    assert load_data(pair(train=HEADER + even * 6, test=HEADER + even)).notes == ()
    long = HEADER + even * 5 + UP + "1,2,3,4,5,6,7,8,9:0,0,0,0,0,0,0,0,1:down\n"
    (note,) = load_data(pair(train=long)).notes
    assert "3 to 9 values" in note and "61% of the training data is padding" in note
    (note,) = load_data(pair(train=long), options=DataOptions(lengths="resample")).notes
    assert (
        note
        == "the series have 3 to 9 values; all are interpolated to the longest training series (`lengths=resample`)"
    )


def test_numbers_to_predict(pair):
    header = HEADER.replace("@classLabel true up down", "@targetlabel true")
    text = header + "1,2,3:0.5\n4,5,6:-1.25\n" * 6
    task = load_data(pair(text, text))
    assert (task.kind, task.outputs, task.metric.name, task.labels) == ("regression", 1, "mae", ())
    assert task.test.targets[:2].flatten().tolist() == [0.5, -1.25]


def test_several_lengths_are_padded_with_the_training_mean_or_resampled():
    train = [np.array([[0.0, 2.0]]), np.array([[1.0, 1.0, 1.0, 1.0, 7.0]])]
    test = [np.array([[0.0, 4.0, 8.0]]), np.arange(9.0)[None]]
    padded, padded_test = all_to_one_length({"train": train, "test": test}, HowLengths("pad")).values()
    np.testing.assert_allclose(padded[0, 0], [0, 2, 13 / 7, 13 / 7, 13 / 7])
    np.testing.assert_allclose(padded_test[1, 0], [0, 1, 2, 3, 4])  # longer than any training series: cut
    resampled, resampled_test = all_to_one_length(
        {"train": train, "test": test}, HowLengths("resample")
    ).values()
    np.testing.assert_allclose(resampled[0, 0], [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(resampled_test[:, 0], [[0, 2, 4, 6, 8], [0, 2, 4, 6, 8]])
    np.testing.assert_array_equal(resampled[1], train[1])


CASES = {
    "no data": (HEADER.replace("@data", ""), "line @data"),
    "no series": (HEADER, "no series follows @data"),
    "an empty value": (
        HEADER + "1,2,:0,0,1:up\n",
        "line 6, channel 1: between two commas is nothing; write ?",
    ),
    "an infinite value": (HEADER + UP.replace("2", "-inf"), "line 6, channel 1: a value is infinite"),
    "text": (HEADER + UP + UP.replace("0,0", "0,x"), "line 7, channel 2: a value (x) is not a number"),
    "an unknown class": (
        HEADER + UP.replace("up", "left"),
        "line 6: class 'left' is not one that @classLabel names",
    ),
    "no class": (HEADER + "1,2,3\n", "line 6 has no colon"),
    "other channels": (HEADER + UP + "1,2,3:up\n", "line 7 has 1 channels, the first series 2"),
    "ragged channels": (HEADER + "1,2,3:0,0:up\n", "line 6 has channels of lengths 2, 3"),
    "time stamps": (
        HEADER.replace("@timeStamps false", "@timeStamps true") + UP,
        "the series have time stamps",
    ),
    "no targets": (
        HEADER.replace("@classLabel true up down", "@classLabel false") + UP,
        "neither @classLabel",
    ),
    "one class": (HEADER.replace(" down", "") + UP, "@classLabel names 1 classes"),
    "a target that is not a number": (
        HEADER.replace("@classLabel true up down", "@targetlabel true") + UP,
        "line 6: the target 'up' is not a number",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_named(pair, text, expected, refusal):
    assert expected in refusal(pair(text))


def test_what_is_wrong_with_a_pair(pair, tmp_path, refusal):
    path = pair(test=HEADER.replace("@classLabel true up down", "@targetlabel true") + UP.replace("up", "1"))
    assert "Mine_TEST.ts: it has numbers and the training file classes" in refusal(path)
    assert "its series have 1 channels" in refusal(pair(test=HEADER + "1,2:up\n"))
    assert "leave out `predict=regression`" in refusal(pair(), predict="regression")
    (tmp_path / "Mine_TEST.ts").unlink()
    assert "Mine_TEST.ts: cannot be read (No such file" in refusal(path)
    pair(name="Other")
    assert "it holds 2 data sets (Mine_TRAIN.ts, Other_TRAIN.ts)" in refusal(tmp_path)
    (tmp_path / "odd.ts").write_text(HEADER)
    assert "name the files NAME_TRAIN.ts and NAME_TEST.ts" in refusal(tmp_path / "odd.ts")
    path.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refusal(path)
    path.write_bytes(gzip.compress(HEADER.encode()))
    assert "not a text file" in refusal(path)
    path.write_bytes((HEADER + UP).encode("utf-16-le"))
    assert "not a text file" in refusal(path)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_comments_and_classes_in_any_encoding(pair, encoding, end):
    text = HEADER.replace("made by hand", "10 - 20 Hz, caf\u00e9 \u00b5V\u00b2").replace(
        "up down", "h\u00f6her down"
    )
    text = (text + (UP.replace("up", "h\u00f6her") + DOWN) * 6).replace("\n", end)
    path = pair()
    for each in (path, path.with_name("Mine_TEST.ts")):
        each.write_bytes(text.encode(encoding))
    task = load_data(path)
    assert task.labels == ("h\u00f6her", "down")
    np.testing.assert_array_equal(task.test.targets, [0, 1] * 6)
    np.testing.assert_array_equal(task.test.inputs[0, :, :3], [[1, 2, 3], [0, 0, 1]])


def test_characters_of_cp1252_alone_and_bytes_of_no_encoding(pair):
    path = pair()
    dash = (HEADER.replace("made", "10 \u2013 20 Hz, made") + UP + DOWN).encode("cp1252")
    path.write_bytes(dash)
    assert len(read_ts(path).series) == 2
    path.write_bytes(dash.replace(b"made", b"\x81\x8d made"))  # neither cp1252 nor UTF-8 has these
    assert len(read_ts(path).series) == 2
    path.write_bytes(dash.decode("cp1252").replace(" 20", "\u2028 20\x85@data").encode())  # no ends of lines
    assert len(read_ts(path).series) == 2


def test_the_archive_s_own_mark_before_the_first_header(pair):
    path = pair()
    text = "@classLabel true up down\n@data\n" + (UP + DOWN) * 6
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_data(path).labels == ("up", "down")


THREE = HEADER.replace("up down", "up flat down")
FLAT = "2,2,2:0,0,0:flat\n"
LISTS = {
    "fewer": (THREE + (UP + FLAT + DOWN) * 4, HEADER + DOWN + UP, ("up", "flat", "down"), [2, 0]),
    "one": (
        THREE + (UP + FLAT + DOWN) * 4,
        HEADER.replace("up ", "") + DOWN * 2,
        ("up", "flat", "down"),
        [2, 2],
    ),
    "another order": (
        HEADER + (UP + DOWN) * 6,
        HEADER.replace("up down", "down up") + DOWN + UP,
        ("up", "down"),
        [1, 0],
    ),
    "more": (HEADER + (UP + DOWN) * 6, THREE + DOWN + UP, ("up", "down"), [1, 0]),
    "none": (HEADER + (UP + DOWN) * 6, HEADER.replace(" up down", "") + DOWN + UP, ("up", "down"), [1, 0]),
    "the same twice": (
        HEADER.replace("up down", "up down up") + (UP + DOWN) * 6,
        HEADER + DOWN + UP,
        ("up", "down"),
        [1, 0],
    ),
}


@pytest.mark.parametrize(("train", "test", "labels", "targets"), LISTS.values(), ids=LISTS)
def test_the_training_file_has_the_classes(pair, train, test, labels, targets):
    task = load_data(pair(train, test))
    (of_lengths,) = task.notes
    assert (task.labels, task.outputs, of_lengths.split(";")[0]) == (
        labels,
        len(labels),
        "the series have 3 to 4 values",
    )
    np.testing.assert_array_equal(task.test.targets, targets)


@pytest.mark.parametrize("names", ["z up down", "up z down", "up down z", "y up z down"])
def test_a_class_without_a_series_is_left_out_and_said(pair, names):
    header = HEADER.replace("up down", names)
    task = load_data(pair(header + (UP + DOWN) * 6, header + DOWN + UP))
    assert (task.labels, task.outputs) == (("up", "down"), 2)
    np.testing.assert_array_equal(task.test.targets, [1, 0])
    unused = ", ".join(each for each in names.split() if each in "yz")
    of_lengths, of_classes = task.notes
    assert of_lengths.startswith("the series have 3 to 4 values;")
    assert f"{unused}: the model cannot learn" in of_classes


@pytest.mark.parametrize("listed", ["up down", "up down z"])
def test_a_test_class_that_no_training_series_has(pair, listed, refusal):
    header = HEADER.replace("up down", listed)
    message = refusal(pair(header + (UP + DOWN) * 6, THREE + UP + FLAT.replace("flat", "z")))
    assert "Mine_TEST.ts: line 7: class 'z' is not one of the training series (up, down); add" in message


def test_one_class_has_its_name_in_the_message(pair, refusal):
    assert "y_train holds the one class down" in refusal(pair(HEADER + DOWN * 12, HEADER + DOWN))


def test_a_header_with_tabs(pair):
    text = HEADER.replace("@classLabel true up down", "@classLabel\ttrue\tup\tdown")
    assert load_data(pair(text + (UP + DOWN) * 6, text + UP)).labels == ("up", "down")


GAPS = "?,1,?,?,4,?:0,NaN,0,nan,0,0:up\n"
FILLED = {
    "interpolate": [[1, 1, 2, 3, 4, 4], [0] * 6],
    # Of 1, 4, 3, 1, 3, 1, 3 and of four zeros and 1, 1, 1, 1, 1, 0.
    "mean": [[16 / 7, 1, 16 / 7, 16 / 7, 4, 16 / 7], [0, 0.5, 0, 0.5, 0, 0]],
}


@pytest.mark.parametrize("missing", [None, "interpolate", "mean"])
def test_missing_values_are_filled_and_said(pair, missing):
    train = HEADER + (GAPS + "3,1,3,1,3,?:1,1,1,1,1,0:down\n") * 6
    task = load_data(pair(train, HEADER + GAPS), options=DataOptions(missing=missing))
    how = missing or "interpolate"
    np.testing.assert_allclose(task.test.inputs[0], FILLED[how], rtol=1e-6)  # of float32
    said = {"interpolate": "are interpolated", "mean": "become their channel's mean over the training data"}
    assert task.notes == (f"missing values (48 in 13 samples) {said[how]}",)
    assert task.source["missing"] == how


@pytest.mark.parametrize("missing", ["interpolate", "mean"])
def test_a_channel_that_training_never_has(pair, missing, refusal):
    message = refusal(pair(HEADER + ("1,2,3:?,?,?:up\n" + "1,2:?,?:down\n") * 6), missing=missing)
    assert "channel 2 of 2 has no value in the training data; leave this channel out" in message


def test_a_channel_without_a_value_gets_the_mean_and_short_series_are_filled_before_they_are_padded(pair):
    text = HEADER + "?,?,?:0,?,4:up\n1,2,3,6:1,1,1,1:down\n" * 6
    task = load_data(pair(text, text))
    np.testing.assert_allclose(task.test.inputs[0, 0], [3] * 4)  # of 1, 2, 3, 6
    np.testing.assert_allclose(
        task.test.inputs[0, 1], [0, 2, 4, 10 / 7]
    )  # padded with the mean of 0, 2, 4, 1, 1, 1, 1


@pytest.mark.parametrize("sign", ["?", "NaN"])
def test_missing_values_may_be_refused(pair, sign, refusal):
    good = HEADER + (UP + DOWN) * 6
    message = refusal(pair(good, HEADER + UP.replace("2", sign)), missing="refuse")
    assert (
        "Mine_TEST.ts: line 6, channel 1: a value is missing; fill it in, or use `missing=interpolate`"
        in message
    )
    task = load_data(pair(good), options=DataOptions(missing="refuse"))
    assert "missing" not in {**task.source, **dict.fromkeys(task.notes, "")}
