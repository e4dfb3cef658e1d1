"""Pickles of data sets are read; whatever else they name is not looked up."""

import io
import os
import pickle

import numpy as np
import pytest

from dashdeploy.data.readers.safe_pickle import read_npy_objects, read_pickle
from dashdeploy.errors import InputError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_text_and_containers_come_through(tmp_path, protocol):
    content = {
        "data": [np.arange(6.0).reshape(2, 3), np.array([1, 2], np.int8), np.array(["a", "bc"], object)],
        "label": ("N", b"\xff\x00", 3, None, np.float32(2.5), True),
    }
    found = read_pickle(tmp_path, io.BytesIO(pickle.dumps(content, protocol)))
    for one, other in zip(found["data"], content["data"], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert found["label"] == content["label"]


class Payload:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "payload",
    [Payload(os.system, "true"), Payload(eval, "1"), Payload(getattr, "text", "upper")],
    ids=["system", "eval", "getattr"],
)
def test_nothing_else_is_ever_run(tmp_path, payload):
    with pytest.raises(InputError, match=r"which no data set needs\); copy the file again"):
        read_pickle(tmp_path, io.BytesIO(pickle.dumps({"data": payload})))
    path = tmp_path / "objects.npy"
    np.save(path, np.array([payload, 1], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="which no data set needs"):
        read_npy_objects(path)


def test_npy_files_with_and_without_objects(tmp_path):
    path = tmp_path / "a.npy"
    for array in (
        np.arange(4.0),
        np.array({"data": np.ones(3)}, dtype=object),
        np.array([[1, 2]], dtype=object),
    ):
        np.save(path, array, allow_pickle=True)
        found = read_npy_objects(path)
        assert found.dtype == array.dtype and found.shape == array.shape
    np.testing.assert_array_equal(found, [[1, 2]])


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}, 1], dtype=object), allow_pickle=True)
    whole = path.read_bytes()
    for content, expected in (
        (whole[:-3], "cannot be read as data"),
        (whole[:40], "not a whole"),
        (b"", "not a whole"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=expected):
            read_npy_objects(path)
    with pytest.raises(InputError, match="No such file"):
        read_npy_objects(tmp_path / "absent.npy")
