"""Arrays under the names that people give them."""

import numpy as np
import pytest

from dashdeploy.data.arrays.names import REQUIRED, names_of_arrays
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.errors import InputError

FAMILIES = {
    "ours": {"x_train": "x_train", "y_train": "y_train", "x_test": "x_test", "y_test": "y_test"},
    "capital": {"x_train": "X_train", "y_train": "y_train", "x_test": "X_test", "y_test": "y_test"},
    "part first": {"x_train": "train_x", "y_train": "train_y", "x_test": "test_x", "y_test": "test_y"},
    "camel": {"x_train": "trainX", "y_train": "trainY", "x_test": "testX", "y_test": "testY"},
    "together": {"x_train": "xtrain", "y_train": "ytrain", "x_test": "xtest", "y_test": "ytest"},
    "words": {
        "x_train": "Train-Data", "y_train": "Train-Labels", "x_test": "Test-Data", "y_test": "Test-Labels",
    },
    "MedMNIST": {
        "x_train": "train_images", "y_train": "train_labels", "x_val": "val_images", "y_val": "val_labels",
        "x_test": "test_images", "y_test": "test_labels",
    },
    "validation": {
        "x_train": "X_train", "y_train": "y_train", "x_val": "X_valid", "y_val": "y_valid",
        "x_test": "X_test", "y_test": "y_test",
    },
    "X, y": {"x_train": "X", "y_train": "y"},
    "x, y": {"x_train": "x", "y_train": "y"},
    "data, label": {"x_train": "data", "y_train": "label"},
    "data, labels": {"x_train": "data", "y_train": "labels"},
    "data, target": {"x_train": "DATA", "y_train": "Target"},
    "data, targets": {"x_train": "data", "y_train": "targets"},
    "no test": {"x_train": "X_train", "y_train": "y_train"},
    "names of classes": {"x_train": "X", "y_train": "y", "labels": "labels"},
    "scikit-learn's": {"x_train": "data", "y_train": "target", "labels": "target_names"},
    "names beside parts": {
        "x_train": "X_train", "y_train": "y_train", "x_test": "X_test", "y_test": "y_test", "labels": "labels",
    },
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_families_of_names(family):
    assert names_of_arrays("data", [*family.values(), "sampling_rate"], "save it as {}") == family


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("kind", ["npz", "npy", "mapping"])
def test_every_family_gives_the_same_task(tmp_path, family, kind):
    random = np.random.default_rng(0)
    arrays = {}
    for name, theirs in family.items():
        count = 40 if "train" in name else 12
        if name == "labels":
            arrays[theirs] = np.array(["a", "b", "c"])
        else:
            arrays[theirs] = random.standard_normal((count, 2, 8)) if name[0] == "x" else np.arange(count) % 3
    if kind == "npz":
        np.savez(tmp_path / "d.npz", **arrays)
        data = tmp_path / "d.npz"
    elif kind == "npy":
        data = tmp_path / "d"
        data.mkdir()
        for name, array in arrays.items():
            np.save(data / f"{name}.npy", array)
    else:
        data = arrays
    task = load_data(data)
    assert task.labels == (("a", "b", "c") if "labels" in family else ("0", "1", "2"))
    parts = [task.train, task.validation, task.test]
    if "x_test" in family:
        np.testing.assert_array_equal(
            task.test.inputs.numpy(), arrays[family["x_test"]].astype(np.float32), strict=True
        )
        assert "test_split" not in task.source
    else:
        assert len(task.test.targets) == 8
        assert task.source["test_split"] == "20% of the samples, stratified, seed 0"
        assert sum("no test part: 20% of the samples" in each for each in task.notes) == 1
        together = np.concatenate([each.inputs.numpy() for each in parts])
        given = arrays[family["x_train"]].astype(np.float32)
        np.testing.assert_array_equal(np.sort(together[:, 0, 0]), np.sort(given[:, 0, 0]))
    targets = {tuple(x[0, :2].tolist()): int(y) for part in parts for x, y in zip(*part, strict=True)}
    x, y = arrays[family["x_train"]].astype(np.float32), arrays[family["y_train"]]
    assert all(
        targets.get(tuple(each[0, :2].tolist())) == int(label) for each, label in zip(x, y, strict=True)
    )


REFUSED = {
    "two inputs": (["X", "data", "y"], "both X and data can be x; keep one, or rename the other"),
    "two targets": (["X", "y", "target"], "both y and target can be y"),
    "two cases": (["X_train", "x_train", "y_train"], "both X_train and x_train can be x_train"),
    "whole and parts": (
        ["X", "y", "X_train", "y_train"],
        "X is for a whole data set and X_train for a part of one; keep the whole set, or x_train",
    ),
    "nothing": (["a", "b"], "array x_train is missing (the file has a, b); save it as x_train"),
    "no arrays": ([], "array x_train is missing (the file has no arrays)"),
    "no target": (["X"], "array y is missing (the file has X); save it as y"),
    "no inputs": (["label"], "array x is missing"),
    "no training inputs": (["X_test", "y_test"], "array x_train is missing"),
    "half a test part": (["X_train", "y_train", "X_test"], "array y_test is missing"),
    "half a validation part": ([*REQUIRED, "x_val"], "array y_val is missing"),
}


@pytest.mark.parametrize(("found", "expected"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_and_missing_names(found, expected):
    with pytest.raises(InputError) as caught:
        names_of_arrays("d.npz", found, "save it as {}")
    assert str(caught.value).startswith("d.npz: ")
    assert expected in str(caught.value)


def test_messages_name_arrays_as_the_user_does():
    arrays = {"X": np.zeros((20, 2, 8)), "label": np.arange(20) % 2}
    arrays["X"][13, 1, 3] = np.nan
    with pytest.raises(InputError, match=r"data: X holds 1 values .* index \[13, 1, 3\]; fill or drop them"):
        load_data(arrays)
    with pytest.raises(InputError, match="data: label holds the one class 0"):
        load_data({"X": np.zeros((20, 2, 8)), "label": np.zeros(20, int)})
    with pytest.raises(InputError, match="data: X has 20 samples but label has 19"):
        load_data({"X": np.zeros((20, 2, 8)), "label": np.zeros(19, int)})
    with pytest.raises(
        InputError, match=r"X has 9 samples \(7 without the test part\); training needs at least 8"
    ):
        load_data({"X": np.zeros((9, 2, 8)), "label": np.arange(9) % 2})
