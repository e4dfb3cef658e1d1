"""NAS-Bench-360, on small files of the benchmark's layout."""

import gzip
import pickle

import numpy as np
import pytest
import torch

from dashdeploy.data.catalog import NASBENCH360, load_task
from dashdeploy.data.nasbench360.series import shuffled_split
from dashdeploy.errors import InputError

RANDOM = np.random.default_rng(0)


def cifar100(folder):
    (folder / "cifar-100-python").mkdir()
    for name, count in (("train", 20), ("test", 6)):
        data = RANDOM.integers(0, 256, (count, 3072), np.uint8)
        content = {
            "data": data,
            "fine_labels": [7 * i % 100 for i in range(count)],
            "coarse_labels": [0] * count,
        }
        (folder / "cifar-100-python" / name).write_bytes(pickle.dumps(content, protocol=2))


def spherical(folder):
    parts = {
        name: {
            "images": RANDOM.integers(0, 256, (count, 3, 60, 60)).astype(np.uint8),
            "labels": np.arange(count) % 100,
        }
        for name, count in (("train", 10), ("test", 4))
    }
    with gzip.open(folder / "s2_cifar100.gz", "wb") as file:
        pickle.dump(parts, file)


def ninapro(folder):
    (folder / "ninaPro").mkdir()
    for name, count in (("train", 12), ("val", 5), ("test", 4)):
        np.save(folder / "ninaPro" / f"ninapro_{name}.npy", RANDOM.standard_normal((count, 52, 16)))
        np.save(folder / "ninaPro" / f"label_{name}.npy", np.arange(count) % 18)


def ecg(folder):
    lengths = 1001 + RANDOM.integers(0, 900, 40)
    data = np.empty(40, dtype=object)
    for index, length in enumerate(lengths):
        data[index] = RANDOM.standard_normal(length) * 50 + 3
    content = {"data": data, "label": np.array(["N", "A", "O", "~"] * 10)}
    (folder / "challenge2017.pkl").write_bytes(pickle.dumps(content))


def satellite(folder):
    for name, count in (("train", 30), ("test", 6)):
        content = {"data": RANDOM.standard_normal((count, 46)) + 9, "label": np.arange(count) % 24 + 1}
        np.save(folder / f"satellite_{name}.npy", content)


def deepsea(folder):
    arrays = {}
    for name, count in (("train", 12), ("val", 4), ("test", 5)):
        arrays[f"x_{name}"] = np.eye(4, dtype=np.uint8)[RANDOM.integers(0, 4, (count, 1000))]
        arrays[f"y_{name}"] = RANDOM.integers(0, 2, (count, 36))
    np.savez(folder / "deepsea_filtered.npz", **arrays)


WRITERS = {each.__name__: each for each in (cifar100, spherical, ninapro, ecg, satellite, deepsea)}
# Input shape, outputs, training, validation and test samples, metric.
EXPECTED = {
    "cifar100": ((3, 32, 32), 100, [16, 4, 6], "accuracy"),
    "spherical": ((3, 60, 60), 100, [8, 2, 4], "accuracy"),
    "ninapro": ((1, 16, 52), 18, [12, 5, 4], "accuracy"),
    "satellite": ((1, 46), 24, [24, 6, 6], "accuracy"),
    "deepsea": ((4, 1000), 36, [12, 4, 5], "auroc"),
}


@pytest.fixture
def folder(tmp_path):
    for write in WRITERS.values():
        write(tmp_path)
    return tmp_path


def load(name, folder):
    return load_task(name, data_dir=folder)


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_shapes_splits_and_metrics(folder, name, expected):
    task = load(name, folder)
    sizes = [len(split.targets) for split in (task.train, task.validation, task.test)]
    assert (task.input_shape, task.outputs, sizes, task.metric.name) == expected
    logits = torch.randn(sizes[2], task.outputs)
    assert task.loss(logits, task.test.targets).isfinite()
    score = task.metric.create()
    score.update(logits, task.test.targets)
    assert score.compute().isfinite()


def test_all_are_tested():
    others = {"psicov", "cosmic", "cosmic_auroc", "fsd50k"}  # test_nasbench360_large.py
    assert set(WRITERS) | others == set(NASBENCH360)


def test_validation_is_the_end_of_the_training_data(folder):
    task = load("satellite", folder)
    assert task.validation.targets.tolist() == [i % 24 for i in range(24, 30)]
    torch.testing.assert_close(task.test.inputs.mean(2), torch.zeros(6, 1), atol=1e-5, rtol=0)
    task = load("cifar100", folder)
    assert task.validation.targets.tolist() == [7 * i % 100 for i in range(16, 20)]
    raw = task.unscaled(task.test).inputs
    content = pickle.loads((folder / "cifar-100-python" / "test").read_bytes())
    torch.testing.assert_close(raw.flatten(1).round().byte().numpy(), content["data"])


def test_recordings_are_split_before_they_are_cut(folder):
    task = load("ecg", folder)
    content = pickle.loads((folder / "challenge2017.pkl").read_bytes())
    assert (task.input_shape, task.metric.name) == ((1, 1000), "f1")
    strides = {"N": 500, "A": 83, "O": 250, "~": 25}
    windows = [
        -(-(len(x) - 1000) // strides[y]) for x, y in zip(content["data"], content["label"], strict=True)
    ]
    splits = (task.train, task.validation, task.test)
    assert sum(len(split.targets) for split in splits) == sum(windows)
    known, rest = shuffled_split(40, 0.2)
    assert len(task.train.targets) == sum(windows[i] for i in known)
    first = content["data"][known[0]]
    expected = ((first - first.mean()) / first.std())[:1000]
    np.testing.assert_allclose(task.train.inputs[0, 0], expected, atol=1e-5)
    assert set(known) | set(rest) == set(range(40))


def test_the_split_is_scikit_learn_s():
    """What train_test_split(range(10), test_size=0.2, random_state=0) returns."""
    kept, held = shuffled_split(10, 0.2)
    assert kept.tolist() == [4, 9, 1, 6, 7, 3, 0, 5]
    assert held.tolist() == [2, 8]


def test_dna_is_channels_first_and_positives_weigh_more(folder):
    task = load("deepsea", folder)
    torch.testing.assert_close(task.test.inputs.sum(1), torch.ones(5, 1000))
    zeros = torch.zeros(1, 36)
    ratio = task.loss(zeros, torch.ones(1, 36)) / task.loss(zeros, torch.zeros(1, 36))
    assert float(ratio) == pytest.approx(4)


def refusal(name, folder):
    with pytest.raises(InputError) as caught:
        load(name, folder)
    assert "\n" not in str(caught.value) and "; " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_file_is_named(tmp_path, name):
    assert "is not there; download it as NAS-Bench-360 tells" in refusal(name, tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_named(folder, name):
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[:50])
    refusal(name, folder)


def test_wrong_contents_are_named(folder):
    np.save(folder / "ninaPro" / "label_test.npy", np.full(4, 18))
    assert "labels is 18 at index 0, not a class from 0 to 17" in refusal("ninapro", folder)
    np.save(folder / "ninaPro" / "ninapro_test.npy", np.zeros((4, 16, 52)))
    assert "data has shape [4, 16, 52], not [n, 52, 16]" in refusal("ninapro", folder)
    np.save(folder / "satellite_test.npy", {"data": np.full((6, 46), np.nan), "label": np.ones(6)})
    assert "data holds 276 values that are NaN" in refusal("satellite", folder)
    np.save(folder / "satellite_test.npy", {"label": np.ones(6)})
    assert "it has no entry data" in refusal("satellite", folder)
    (folder / "challenge2017.pkl").write_bytes(
        pickle.dumps({"data": [np.zeros(5)] * 12, "label": ["X"] * 12})
    )
    assert "label 0 is 'X', not one of N, A, O, ~" in refusal("ecg", folder)


def test_the_folder_is_needed_and_needed_only_here(folder):
    with pytest.raises(InputError, match="name their folder with `data_dir=FOLDER`"):
        load_task("ecg")
    with pytest.raises(InputError, match="`task=osuleaf` needs no `data_dir`"):
        load("osuleaf", folder)
