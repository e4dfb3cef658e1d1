"""A user's own file: what is read from it, and the one line for each way in which it can be wrong."""

import io
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.npz import load_npz
from dashdeploy.errors import InputError

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_data" / "intervals.py"


def good():
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.standard_normal((60, 2, 16)),
        "y_train": np.arange(60) % 3,
        "x_test": generator.standard_normal((12, 2, 16)).astype(np.float32),
        "y_test": (np.arange(12) % 3).astype(np.int32),
    }


@pytest.fixture
def save(tmp_path):
    def write(**changes):
        arrays = {name: array for name, array in (good() | changes).items() if array is not None}
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return write


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_npz(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "; " in message  # what is wrong; how to mend it
    return message


def test_reads_series_of_many_channels(save):
    path = save()
    task = load_npz(path, seed=3)
    assert (task.name, task.input_shape, task.rank, task.dense) == ("data", (2, 16), 1, False)
    assert (task.outputs, task.labels, task.metric.name) == (3, ("0", "1", "2"), "accuracy")
    assert len(task.train.targets) + len(task.validation.targets) == 60
    assert task.validation.targets.bincount().tolist() == [3, 3, 3]  # 15 % of 20 each
    assert task.train.inputs.dtype == torch.float32
    assert task.train.targets.dtype == task.test.targets.dtype == torch.int64
    np.testing.assert_array_equal(task.test.inputs.numpy(), good()["x_test"])
    assert set(task.source) == {"path", "sha256"}


def test_the_path_may_be_text(save):
    assert len(load_npz(str(save())).test.targets) == len(load_data(str(save())).test.targets) == 12


def test_the_split_depends_on_the_seed_alone(save):
    path = save()
    first, again, other = (load_npz(path, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.validation.inputs, again.validation.inputs)
    assert not torch.equal(first.validation.inputs, other.validation.inputs)


def test_two_axes_mean_one_channel(save):
    arrays = good()
    task = load_npz(save(x_train=arrays["x_train"][:, 0], x_test=arrays["x_test"][:, 0]))
    assert task.input_shape == (1, 16)


def test_a_validation_split_of_the_user_s_own_is_kept(save):
    arrays = good()
    task = load_npz(save(x_val=arrays["x_test"][:5], y_val=arrays["y_test"][:5]))
    assert len(task.train.targets) == 60
    np.testing.assert_array_equal(task.validation.inputs.numpy(), arrays["x_test"][:5])


def test_whole_floats_booleans_and_columns_are_labels(save):
    labels = good()["y_train"].astype(np.float64)[:, None]
    assert load_npz(save(y_train=labels)).outputs == 3
    flags = {"y_train": np.arange(60) % 2 == 0, "y_test": np.arange(12) % 2 == 0}
    assert load_npz(save(**flags)).outputs == 2


def test_a_class_of_one_sample_stays_in_training(save):
    labels = np.array([0, 1] * 29 + [0, 2])
    task = load_npz(save(y_train=labels, y_test=np.zeros(12, dtype=int)))
    assert 2 in task.train.targets.tolist()
    assert 2 not in task.validation.targets.tolist()


def spoiled(name, index, value):
    array = good()[name].copy()
    array[index] = value
    return {name: array}


CASES = {
    "missing array": ({"y_test": None}, "array y_test is missing (the file has x_train, y_train, x_test)"),
    "half a validation split": ({"x_val": good()["x_test"]}, "array y_val is missing"),
    "one axis": ({"x_train": np.zeros(60)}, "x_train has 1 axes, shape [60]; use [n, channels, length],"),
    "images": (
        {"x_test": np.zeros((12, 1, 4, 4))},
        "x_test has samples of shape [1, 4, 4] but x_train",
    ),
    "five axes": ({"x_test": np.zeros((12, 1, 4, 4, 4))}, "x_test has 5 axes"),
    "object array": ({"x_train": np.array([{}, []] * 30, dtype=object)}, "x_train is an object array"),
    "object labels": ({"y_test": np.array([None] * 12)}, "y_test is an object array"),
    "NaN": (
        spoiled("x_train", (3, 0, 5), np.nan),
        "1 values that are NaN or infinite, the first at index [3, 0, 5]",
    ),
    "infinity": (spoiled("x_test", (0, 1), np.inf), "x_test holds 16 values that are NaN or infinite"),
    "beyond float32": (spoiled("x_train", (7, 1, 2), 1e300), "beyond float32, the first at index [7, 1, 2]"),
    "text": ({"x_train": np.full((60, 2, 16), "a")}, "x_train has dtype <U1; use real numbers"),
    "complex": ({"x_train": np.zeros((60, 2, 16), dtype=complex)}, "x_train has dtype complex128"),
    "text in one split": (
        {"y_train": np.array(["cat", "dog"] * 30)},
        "y_test holds numbers but y_train text; name the classes alike everywhere",
    ),
    "complex labels": (
        {"y_test": np.zeros(12, complex)},
        "y_test has dtype complex128; use whole numbers or text",
    ),
    "fractional label": (
        {"y_train": np.where(np.arange(60) == 8, 0.5, 0.0)},
        "y_train is 0.5 at index 8; classes are whole numbers or text; add `predict=regression`",
    ),
    "NaN label": ({"y_train": np.where(np.arange(60) == 8, np.nan, 0.0)}, "y_train is nan at index 8"),
    "a huge label": ({"y_train": np.where(np.arange(60) == 8, 1e300, 0.0)}, "y_train is 1e+300 at index 8"),
    "unknown test label": (
        spoiled("y_test", 2, 9),
        "y_test is 9 at index 2, a class that y_train never has (it has 0, 1, 2)",
    ),
    "one class": ({"y_train": np.zeros(60, int), "y_test": np.zeros(12, int)}, "holds the one class 0"),
    "one-hot labels": ({"y_train": np.eye(3)[good()["y_train"]]}, "y_train has shape [60, 3]"),
    "fewer labels": ({"y_train": good()["y_train"][:-1]}, "x_train has 60 samples but y_train has 59"),
    "other length": ({"x_test": np.zeros((12, 2, 15))}, "x_test has samples of shape [2, 15] but x_train"),
    "empty": ({"x_test": np.zeros((0, 2, 16)), "y_test": np.zeros(0, int)}, "x_test is empty"),
    "empty labels": ({"y_test": np.zeros(0, int)}, "y_test is empty"),
    "too few": (
        {"x_train": good()["x_train"][:5], "y_train": good()["y_train"][:5]},
        "x_train has 5 samples",
    ),
    "nothing to hold out": (
        {"x_train": good()["x_train"][:12], "y_train": np.arange(12)},
        "no class with two samples",
    ),
}


@pytest.mark.parametrize(("changes", "expected"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_named(save, changes, expected):
    assert expected in refusal(save(**changes))


def test_a_missing_file(tmp_path):
    assert "no such file; check the path" in refusal(tmp_path / "absent.npz")


def test_a_folder(tmp_path):
    assert "this is a folder" in refusal(tmp_path)


def test_a_file_that_is_no_zip(tmp_path):
    path = tmp_path / "data.npz"
    path.write_text("1,2,3\n")
    assert "not an .npz file" in refusal(path)


def test_a_file_that_was_cut_short(save):
    path = save()
    path.write_bytes(path.read_bytes()[:-100])
    assert "not an .npz file (no zip, or cut short)" in refusal(path)


def test_a_damaged_archive(save):
    path = save()
    content = bytearray(path.read_bytes())
    content[300:400] = bytes(100)
    path.write_bytes(content)
    assert "the archive is damaged" in refusal(path)


def test_a_zip_whose_members_are_no_arrays(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in good():
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00")
    assert "x_train cannot be read" in refusal(path)


def test_members_that_are_not_npy_files(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in good():
            archive.writestr(name, b"hello")
    assert "x_train is not an array" in refusal(path)


def test_a_pickle_is_never_run(tmp_path):
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path = tmp_path / "data.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in good():
            archive.writestr(f"{name}.npy", buffer.getvalue())
    assert "object array" in refusal(path)
    assert not marker.exists()


def test_the_example_writes_52_classes_of_length_2000(tmp_path):
    runpy.run_path(str(EXAMPLE))["main"](tmp_path / "intervals.npz", each_train=2, each_test=1)
    task = load_npz(tmp_path / "intervals.npz")
    assert (task.input_shape, task.outputs, task.labels[0]) == ((1, 2000), 52, "PR 120 ms, QT 300 ms")
    assert [len(split.targets) for split in (task.train, task.validation, task.test)] == [88, 16, 52]
    assert task.train.inputs.isfinite().all()
