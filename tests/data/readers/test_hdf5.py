"""HDF5 files, written by h5py."""

import h5py
import numpy as np
import pytest
import torch

from dashdeploy.data.arrays import stored
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.lazy_inputs import LazyInputs
from dashdeploy.data.readers.data_files import load_data

X = np.random.default_rng(0).standard_normal((40, 2, 8))
Y = np.arange(40) % 3


@pytest.fixture
def path(tmp_path):
    return tmp_path / "signals.h5"


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, array in (
            {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]} | datasets
        ).items():
            if array is not None:
                file[name.replace("__", "/")] = array
    return path


NONE = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"))
LAYOUTS = {
    "as .npz": {},
    "capital letters": NONE | {"X_train": X, "Y_train": Y, "X_test": X[:9], "y_test": Y[:9]},
    "groups": NONE | {"train__x": X, "train__y": Y, "test__X": X[:9], "test__y": Y[:9]},
    "float16": {"x_train": X.astype("f2"), "x_test": X[:9].astype("f2")},
    "integers": {"x_train": (X * 100).astype("i2"), "x_test": (X[:9] * 100).astype("i2")},
    "validation": {"x_val": X[:5], "y_val": Y[:5]},
    "groups with validation": NONE
    | {"train__x": X, "train__y": Y, "test__x": X[:9], "test__y": Y[:9], "valid__x": X[:5], "Validation__y": Y[:5]},
}  # fmt: skip


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_as_the_arrays_in_memory(path, tmp_path, monkeypatch, layout, lazily):
    datasets = LAYOUTS[layout]
    write(path, **datasets)
    plain = {name: datasets.get(name) for name in ("x_train", "x_test") if datasets.get(name) is not None}
    plain = {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]} | plain
    if "validation" in layout:
        plain |= {"x_val": X[:5], "y_val": Y[:5]}
    np.savez(tmp_path / "signals.npz", **plain)
    expected = load_data(tmp_path / "signals.npz", options=DataOptions(normalize="channels"))
    if lazily:
        monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
    task = load_data(path, options=DataOptions(normalize="channels"))
    assert isinstance(task.train.inputs, LazyInputs) == lazily
    assert task.scaling == expected.scaling and task.labels == expected.labels
    for name in ("train", "validation", "test"):
        mine, theirs = getattr(task, name), getattr(expected, name)
        assert torch.equal(mine.inputs[: len(mine.targets)], theirs.inputs)
        assert torch.equal(mine.targets, theirs.targets)
        order = torch.randperm(len(mine.targets))
        assert torch.equal(mine.inputs[order], theirs.inputs[order])


STORAGE = [{"chunks": (7, 1, 3), "compression": "gzip"}, {"chunks": (1, 2, 8), "fletcher32": True}]


@pytest.mark.parametrize("storage", STORAGE)
def test_chunks_and_compression(path, monkeypatch, storage):
    monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
    write(path, x_train=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("x_train", data=X, **storage)
    inputs = load_data(path).train.inputs
    order = torch.tensor([3, 0, 20, 3])
    assert torch.equal(inputs[order], inputs[: len(inputs)][order])


TEXT = np.array(["süd", "nord", "süd", "nord"] * 10)
LABELS = {
    "variable": np.array(TEXT.tolist(), h5py.string_dtype()),
    "fixed": np.char.encode(TEXT, "utf-8"),
    "latin-1": np.char.encode(TEXT, "latin-1"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_text_is_decoded(path, kind):
    task = load_data(write(path, y_train=LABELS[kind], y_test=LABELS[kind][:9]))
    assert task.labels == ("nord", "süd") and task.test.targets[:3].tolist() == [1, 0, 1]


def test_enumerations_booleans_and_names(path):
    kinds = h5py.enum_dtype({"rest": 3, "walk": 7}, basetype="i1")
    write(path, y_train=None, y_test=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("y_train", data=np.array([3, 7] * 20, "i1"), dtype=kinds)
        file.create_dataset("y_test", data=np.array([7, 3, 3] * 3, "i1"), dtype=kinds)
    task = load_data(path)
    assert task.labels == ("rest", "walk") and task.test.targets[:3].tolist() == [1, 0, 0]
    write(path, y_train=Y > 0, y_test=Y[:9] > 0)
    assert load_data(path).labels == ("False", "True")
    names = np.array(["a", "b", "c"], h5py.string_dtype())
    assert load_data(write(path, labels=names)).labels == ("a", "b", "c")


def test_a_test_part_is_split_off_where_there_is_none(path):
    write(path, **NONE, X=X, y=TEXT.astype("S") if TEXT.dtype.kind == "S" else np.char.encode(TEXT, "utf-8"))
    task = load_data(path, seed=3)
    assert len(task.test.targets) == 8 and torch.bincount(task.test.targets).tolist() == [4, 4]
    assert task.source["test_split"] == "20% of the samples, stratified, seed 3"
    assert any("no test part" in note for note in task.notes)
    rows = {tuple(row) for row in X.reshape(40, -1).astype("f4").tolist()}
    parts = [task.train, task.validation, task.test]
    seen = [tuple(row) for part in parts for row in part.inputs.flatten(1).tolist()]
    assert len(seen) == 40 and set(seen) == rows
    assert torch.equal(load_data(path, seed=3).test.inputs, task.test.inputs)
    assert not torch.equal(load_data(path, seed=4).test.inputs, task.test.inputs)


def virtual(path, *, shape=(40, 2, 8), sources=None, into="x_train"):
    layout = h5py.VirtualLayout(shape, "f8")
    for rows, source in sources:
        layout[rows] = source
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(into, layout)


def halves(tmp_path, second="second.h5"):
    for name, part in (("first.h5", X[:20]), ("second.h5", X[20:])):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = part
    return [
        (slice(0, 20), h5py.VirtualSource("first.h5", "x", (20, 2, 8))),
        (slice(20, 40), h5py.VirtualSource(second, "x", (20, 2, 8))),
    ]


def test_virtual_datasets(path, tmp_path):
    write(path, x_train=None)
    virtual(path, sources=halves(tmp_path))
    task = load_data(path)
    expected = load_data(write(tmp_path / "plain.h5"))
    assert torch.equal(task.train.inputs, expected.train.inputs)
    with h5py.File(tmp_path / "second.h5", "a") as file:
        file["x"][0] = 0
    assert load_data(path).source["sha256"] != task.source["sha256"]


def test_a_virtual_source_that_is_not_there_is_no_zero(path, tmp_path, refusal):
    write(path, x_train=None)
    virtual(path, sources=halves(tmp_path))
    (tmp_path / "second.h5").unlink()
    with h5py.File(path) as file:
        assert not file["x_train"][20:].any()  # what HDF5 says
    assert "x_train takes numbers from second.h5, which is not there; copy it as well" in refusal(path)
    with h5py.File(tmp_path / "second.h5", "w") as file:
        file["other"] = X
    assert "takes numbers from x in second.h5, which has no such dataset" in refusal(path)
    with h5py.File(tmp_path / "second.h5", "w") as file:
        file["x"] = X[:7]
    assert "takes 320 numbers from x in second.h5, whose shape [7, 2, 8] is too small" in refusal(path)
    with h5py.File(tmp_path / "second.h5", "w") as file:
        file["x"] = X[20:]
    layout = h5py.VirtualLayout((40, 2, 8), "f8")
    layout[:] = h5py.VirtualSource("second.h5", "x", (60, 2, 8))[10:50]
    write(path, x_train=None)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("x_train", layout)
    assert "takes 640 numbers from x in second.h5, whose shape [20, 2, 8] is too small" in refusal(path)
    with h5py.File(tmp_path / "second.h5", "w") as file:
        file.create_dataset("x", (60, 2, 8), "f4")
    assert "x was never written" in refusal(path)


def test_a_virtual_dataset_with_a_part_without_source(path, tmp_path, refusal):
    write(path, x_train=None)
    virtual(path, sources=halves(tmp_path)[:1])
    assert "320 of 640 numbers of x_train have no source" in refusal(path)


def test_external_files(path, tmp_path, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    write(path, x_train=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("x_train", X.shape, "f8", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])[...] = X
    expected = load_data(write(tmp_path / "plain.h5"))
    assert torch.equal(load_data(path).train.inputs, expected.train.inputs)
    raw = (tmp_path / "raw.bin").read_bytes()
    (tmp_path / "raw.bin").write_bytes(raw[:100])
    with h5py.File(path) as file:
        assert not file["x_train"][1:].any()  # what HDF5 says
    assert "raw.bin, which holds numbers of x_train, has 100 of 5120 bytes" in refusal(path)
    (tmp_path / "raw.bin").unlink()
    assert "the numbers of x_train are in raw.bin, which is not there" in refusal(path)


def test_what_was_never_written(path, refusal):
    write(path, x_train=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("x_train", X.shape, "f4", chunks=(10, 2, 8))
    assert "x_train was never written: all of it would be 0.0" in refusal(path)
    with h5py.File(path, "a") as file:
        file["x_train"][:30] = X[:30]
    assert "1 of 4 chunks of x_train were never written and count as 0.0" in load_data(path).notes


def test_broken_links(path, tmp_path, refusal):
    write(path, x_train=None)
    with h5py.File(path, "a") as file:
        file["x_train"] = h5py.ExternalLink("other.h5", "/x")
    assert "x_train is a link to /x in other.h5, which is not there" in refusal(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = X
    assert torch.equal(load_data(path).train.inputs, load_data(write(tmp_path / "plain.h5")).train.inputs)


BAD = {
    "objects": ({"x_train": np.array(TEXT.tolist(), h5py.string_dtype())}, "is of objects or text"),
    "no targets": ({"y_train": None}, "array y_train is missing"),
    "nothing": (NONE, "array x_train is missing (the file has no arrays)"),
    "twice": (NONE | {"X_train": X, "train__x": X, "y_train": Y}, "both X_train and train/x can be x_train"),
    "a number": ({"x_train": 3.0}, "x_train is float64, shape ()"),
    "other samples": (NONE | {"X": X, "y": Y[:-1]}, "give every sample one target"),
    "NaN": ({"x_train": np.where(X[1, 0, 2] == X, np.nan, X)}, "at index [1, 0, 2]"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_one_line(path, name, refusal):
    datasets, text = BAD[name]
    assert text in refusal(write(path, **datasets))


def test_no_hdf5_and_a_damaged_file(path, tmp_path, refusal):
    path.write_bytes(b"no HDF5 at all")
    assert "cannot be read as HDF5" in refusal(path)
    assert "no such file" in refusal(tmp_path / "absent.hdf5")
    with h5py.File(path, "w") as file:
        for name, array in {"y_train": Y, "x_test": X[:9], "y_test": Y[:9]}.items():
            file[name] = array
        file.create_dataset("x_train", data=X, chunks=(40, 2, 8), fletcher32=True)
        offset = file["x_train"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 255
    path.write_bytes(content)
    assert "cannot be read as HDF5" in refusal(path)
