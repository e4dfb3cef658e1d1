"""Calibration files: what fits the model is taken, everything else is refused in a line."""

import numpy as np
import pytest

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.export.conversion.calibration import load_calibration

X = TensorSpec(name="x", shape=("batch", 2, 8), dtype="float32")
Z = TensorSpec(name="z", shape=("batch", 3), dtype="float32")


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["x", "inputs", "x_train"])
def test_the_one_input_has_several_names(tmp_path, name):
    given = np.arange(5 * 16).reshape(5, 2, 8)
    feeds = load_calibration(save(tmp_path / "c.npz", **{name: given, "y_train": given}), [X])
    assert feeds["x"].dtype == np.float32
    assert np.array_equal(feeds["x"], given)


def test_several_inputs_need_their_own_names(tmp_path):
    good = {"x": np.zeros((5, 2, 8)), "z": np.zeros((5, 3))}
    assert set(load_calibration(save(tmp_path / "c.npz", **good), [X, Z])) == {"x", "z"}
    with pytest.raises(InputError, match="has no array z; it has x, inputs"):
        load_calibration(save(tmp_path / "c.npz", x=good["x"], inputs=good["z"]), [X, Z])
    with pytest.raises(InputError, match="differ in their number of samples"):
        load_calibration(save(tmp_path / "c.npz", x=good["x"], z=np.zeros((4, 3))), [X, Z])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 2, 9)), r"x has the shape \[5, 2, 9\], but the model's x is batch x 2 x 8"),
        (np.zeros((2, 8)), "has the shape"),
        (np.zeros((0, 2, 8)), "has the shape"),
        (np.full((5, 2, 8), np.nan), "other than finite numbers"),
        (np.full((5, 2, 8), np.inf), "other than finite numbers"),
        (np.full((5, 2, 8), "a"), "other than finite numbers"),
        (np.full((5, 2, 8), None, object), "cannot be read"),  # a pickle
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, array, message):
    with pytest.raises(InputError, match=message) as error:
        load_calibration(save(tmp_path / "c.npz", x=array), [X])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 and so on", b"\x93NUMPY"], ids=repr)
def test_files_that_are_none_are_refused(tmp_path, content):
    path = tmp_path / "c.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.npz` cannot be read as an \.npz file"):
        load_calibration(path, [X])


def test_a_single_array_a_cut_file_and_a_folder_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((5, 2, 8)))
    whole = save(tmp_path / "c.npz", x=np.zeros((5, 2, 8))).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    broken = bytearray(whole)
    broken[200] ^= 255
    (tmp_path / "broken.npz").write_bytes(broken)
    for path in ("one.npy", "cut.npz", "broken.npz", "."):
        with pytest.raises(InputError, match="cannot be read"):
            load_calibration(tmp_path / path, [X])
