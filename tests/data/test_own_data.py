"""A user's own data beyond .npz of series and classes: other kinds, images, folders, factories, scaling."""

import sys

import numpy as np
import pytest
import torch

from dashdeploy.data.catalog import load_task
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError


def arrays(**changes):
    generator = np.random.default_rng(0)
    made = {
        "x_train": generator.standard_normal((40, 2, 8)) * 5 + 3,
        "y_train": np.arange(40) % 3,
        "x_test": generator.standard_normal((12, 2, 8)),
        "y_test": np.arange(12) % 3,
    }
    return {name: array for name, array in (made | changes).items() if array is not None}


@pytest.fixture
def npz(tmp_path):
    def write(**changes):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays(**changes))
        return path

    return write


@pytest.fixture
def folder(tmp_path):
    def write(**changes):
        place = tmp_path / "signals"
        place.mkdir(exist_ok=True)
        for name, array in arrays(**changes).items():
            np.save(place / f"{name}.npy", array)
        return place

    return write


RANDOM = np.random.default_rng(1)
NUMBERS = {"y_train": RANDOM.standard_normal(40), "y_test": RANDOM.standard_normal(12)}
MANY = {"y_train": RANDOM.integers(0, 2, (40, 5)), "y_test": RANDOM.integers(0, 2, (12, 5))}
PER_POSITION = {"y_train": RANDOM.integers(0, 4, (40, 8)), "y_test": RANDOM.integers(0, 4, (12, 8))}
FIELD = {"y_train": RANDOM.standard_normal((40, 8)), "y_test": RANDOM.standard_normal((12, 8))}
KINDS = {
    "numbers": (NUMBERS, "regression", False, 1, (1,)),
    "several numbers": ({n: np.stack([y, y], 1) for n, y in NUMBERS.items()}, "regression", False, 2, (2,)),
    "labels": (MANY, "multi-label", False, 5, (5,)),
    "classes per position": (PER_POSITION, None, True, 4, (8,)),
    "classes per position behind an axis of one channel": (
        {n: y[:, None] for n, y in PER_POSITION.items()},
        None,
        True,
        4,
        (8,),
    ),
    "a number per position": (FIELD, "regression", True, 1, (1, 8)),
    "numbers per position": (
        {n: np.stack([y] * 3, 1) for n, y in FIELD.items()},
        "regression",
        True,
        3,
        (3, 8),
    ),
    "labels per position": (
        {n: np.stack([y % 2, y // 2], 1) for n, y in PER_POSITION.items()},
        "multi-label",
        True,
        2,
        (2, 8),
    ),
}


@pytest.mark.parametrize(("changes", "kind", "dense", "outputs", "shape"), KINDS.values(), ids=KINDS)
def test_what_is_predicted(npz, changes, kind, dense, outputs, shape):
    task = load_data(npz(**changes), options=DataOptions(predict=kind))
    assert (task.kind, task.dense, task.outputs) == (kind or "classification", dense, outputs)
    assert task.train.targets.shape[1:] == task.test.targets.shape[1:] == shape
    assert len(task.train.targets) + len(task.validation.targets) == 40
    assert len(task.validation.targets) == 6
    logits = torch.randn(12, outputs, *([8] if dense else []))
    assert task.loss(logits, task.test.targets).isfinite()
    metric = task.metric.create()
    metric.update(logits, task.test.targets)
    assert metric.compute().isfinite()


def test_images(npz):
    task = load_data(npz(x_train=np.zeros((40, 3, 6, 7)), x_test=np.zeros((12, 3, 6, 7))))
    assert (task.input_shape, task.rank, task.dense) == ((3, 6, 7), 2, False)
    masks = {"y_train": np.arange(40 * 42).reshape(40, 6, 7) % 2, "y_test": np.zeros((12, 6, 7), int)}
    task = load_data(npz(x_train=np.zeros((40, 3, 6, 7)), x_test=np.zeros((12, 3, 6, 7)), **masks))
    assert (task.dense, task.outputs) == (True, 2)


def test_names_of_classes(npz, refusal):
    assert load_data(npz(labels=np.array(["cat", "dog", "owl"]))).labels == ("cat", "dog", "owl")
    assert "give one name for each of the 3 classes" in refusal(npz(labels=np.array(["cat"])))
    assert "give one for each of the 5 labels" in refusal(
        npz(**MANY, labels=np.array(["a"])), predict="multi-label"
    )


def test_scaling_is_learned_from_the_training_part_alone(npz):
    path = npz(**NUMBERS)
    task = load_data(
        path, seed=2, options=DataOptions(predict="regression", normalize="channels", metric="rmse")
    )
    torch.testing.assert_close(task.train.inputs.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(task.train.targets.std(0, correction=0), torch.ones(1), atol=1e-5, rtol=0)
    assert task.validation.inputs.mean().abs() > 1e-3
    plain = load_data(path, seed=2, options=DataOptions(predict="regression"))
    for scaled, raw in zip(
        (task.unscaled(task.train), task.unscaled(task.test)), (plain.train, plain.test), strict=True
    ):
        torch.testing.assert_close(scaled.inputs, raw.inputs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scaled.targets, raw.targets, atol=1e-5, rtol=1e-5)


def test_scaling_within_samples(npz):
    task = load_data(npz(), options=DataOptions(normalize="samples"))
    torch.testing.assert_close(task.test.inputs.mean(2), torch.zeros(12, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(task.test.inputs.std(2, correction=0), torch.ones(12, 2), atol=1e-5, rtol=0)


REFUSED = {
    "labels that are not 0 or 1": (MANY | {"y_test": MANY["y_test"] * 2}, "multi-label", "labels are 0 or 1"),
    "labels without an axis": (
        {},
        "multi-label",
        "y_train has shape [40]; for `predict=multi-label` use 0 and 1",
    ),
    "NaN among the numbers": (
        NUMBERS | {"y_test": np.full(12, np.nan)},
        "regression",
        "12 values that are NaN",
    ),
    "text numbers": ({"y_train": np.full(40, "a")}, "regression", "dtype <U1; use real numbers"),
    "numbers for classes": (NUMBERS, None, "add `predict=regression` to learn numbers"),
    "fields of numbers for classes": (
        {n: np.stack([y] * 3, 1) for n, y in FIELD.items()},
        None,
        "add `predict=regression` to learn numbers",
    ),
    "one-hot": ({"y_train": np.eye(3)[np.arange(40) % 3]}, None, "not one-hot"),
    "dense in one split only": ({"y_train": PER_POSITION["y_train"]}, None, "y_test has targets of shape []"),
    "too many axes": (
        {"y_train": np.zeros((40, 2, 3, 4))},
        "regression",
        "use [n], [n, outputs], or one number",
    ),
}


@pytest.mark.parametrize(("changes", "kind", "expected"), REFUSED.values(), ids=REFUSED)
def test_targets_that_do_not_fit(npz, changes, kind, expected, refusal):
    assert expected in refusal(npz(**changes), predict=kind)


def with_gaps(*gaps):
    made = arrays()
    for name, *index in gaps:
        made[name][tuple(index)] = np.nan
    return {name: made[name] for name in ("x_train", "x_test")}


@pytest.mark.parametrize("missing", ["interpolate", "mean"])
def test_arrays_with_nan_are_filled_if_one_says_how(npz, missing):
    gaps = with_gaps(("x_train", 3, 0, 5), ("x_test", 0, 1, slice(2, 4)), ("x_test", 1, 0))
    whole, path = arrays(), npz(**gaps)
    task = load_data(path, options=DataOptions(missing=missing))
    mean = np.nanmean(gaps["x_train"], axis=(0, 2))
    first, step = whole["x_test"][0, 1, 1], (whole["x_test"][0, 1, 4] - whole["x_test"][0, 1, 1]) / 3
    expected = [first + step, first + 2 * step] if missing == "interpolate" else [mean[1]] * 2
    np.testing.assert_allclose(task.test.inputs[0, 1, 2:4], expected, rtol=1e-5)  # of float32
    np.testing.assert_allclose(task.test.inputs[1, 0], [mean[0]] * 8, rtol=1e-5)
    np.testing.assert_array_equal(task.test.inputs[2:], whole["x_test"][2:].astype(np.float32))
    assert "missing values (11 in 3 samples)" in task.notes[0]
    # A run that is resumed with another filling learns from other data.
    assert task.source["missing"] == missing
    assert load_data(npz(), options=DataOptions(missing=missing)).source.get("missing") is None


def test_series_of_two_axes_and_images_with_nan(npz, refusal):
    flat = {name: array[:, 0] for name, array in with_gaps(("x_test", 0, 0, 7)).items()}
    task = load_data(npz(**flat), options=DataOptions(missing="interpolate"))
    assert task.test.inputs[0, 0, 7] == task.test.inputs[0, 0, 6]
    images = {name: array.reshape(-1, 1, 4, 4) for name, array in with_gaps(("x_train", 3, 0, 5)).items()}
    task = load_data(npz(**images), options=DataOptions(missing="mean"))
    assert task.train.inputs.isfinite().all()
    assert "images miss values, which no line can be drawn to; use `missing=mean`" in refusal(
        npz(**images), missing="interpolate"
    )


@pytest.mark.parametrize("missing", [None, "refuse"])
def test_arrays_with_nan_are_refused(npz, missing, refusal):
    path = npz(**with_gaps(("x_train", 3, 0, 5)))
    expected = (
        "x_train holds 1 values that are NaN or infinite, the first at index [3, 0, 5]; fill or drop them"
    )
    assert expected + ", or have NaN filled by `missing=interpolate`" in refusal(path, missing=missing)


def test_infinity_is_no_missing_value(npz, refusal):
    infinite = arrays()["x_train"]
    infinite[3, 0, 5:7] = np.inf, np.nan
    assert "x_train holds 1 values that are NaN or inf" in refusal(npz(x_train=infinite), missing="mean")


def test_a_metric_of_another_kind(npz, refusal):
    assert "add `predict=regression`" in refusal(npz(), metric="mae")


def test_a_folder_of_npy_files(folder, npz):
    task, same = load_data(folder()), load_data(npz())
    assert task.name == "signals"
    assert torch.equal(task.train.inputs, same.train.inputs)
    assert torch.equal(task.test.targets, same.test.targets)
    changed = load_data(folder(y_test=np.zeros(12, int)))
    assert changed.source["sha256"] != task.source["sha256"]


def test_what_is_wrong_with_a_folder(folder, tmp_path, refusal):
    place = folder()
    (place / "y_test.npy").unlink()
    assert "array y_test is missing" in refusal(place)
    assert "numpy.save(folder / 'y_test.npy'" in refusal(place)
    (place / "y_test.npy").write_bytes((place / "x_test.npy").read_bytes()[:200])
    assert "y_test.npy: not a whole .npy file" in refusal(place)
    (place / "y_test.npy").write_bytes(b"")
    assert "y_test.npy: not a whole .npy file" in refusal(place)
    np.save(place / "y_test.npy", np.array([{}] * 12), allow_pickle=True)
    assert "an object array, which needs pickle" in refusal(place)
    assert "name the folder that holds x_train.npy" in refusal(place / "x_train.npy")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds neither x_train.npy nor a .ts file" in refusal(empty)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of the user's own beside the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text):
        (tmp_path / "my_tasks.py").write_text(text)
        sys.modules.pop("my_tasks", None)

    yield write
    sys.modules.pop("my_tasks", None)


GOOD_MODULE = """
import numpy as np

def arrays(seed=0):
    x = np.random.default_rng(seed).standard_normal((40, 2, 8))
    return {"x_train": x, "y_train": np.arange(40) % 3, "x_test": x[:12], "y_test": np.arange(12) % 3}

def whole():
    from dashdeploy.data.catalog import load_task
    return load_task("my_tasks:arrays")

def broken():
    return {}["nothing"]

def other():
    return [1, 2]
"""


def test_a_factory_of_the_user_s_own(module):
    module(GOOD_MODULE)
    task = load_task("my_tasks:arrays", seed=3)
    expected = np.random.default_rng(3).standard_normal((40, 2, 8))[:12].astype(np.float32)
    np.testing.assert_array_equal(task.test.inputs.numpy(), expected)
    assert (task.name, task.source["factory"]) == ("arrays", "my_tasks:arrays")
    same, other = (load_task("my_tasks:arrays", seed=seed).source["sha256"] for seed in (3, 4))
    assert same == task.source["sha256"] != other
    assert load_task("my_tasks:arrays", options=DataOptions(metric="f1")).metric.name == "f1"
    assert isinstance(load_task("my_tasks:whole"), Task)


def test_what_is_wrong_with_a_factory(module):
    module(GOOD_MODULE)
    for name, expected in {
        "my_tasks:broken": "fails with KeyError",
        "my_tasks:other": "returns a list; return a Task, or a mapping",
        "my_tasks:absent": "has no function 'absent'",
        "no_such_module:f": "No module named",
    }.items():
        with pytest.raises(InputError) as caught:
            load_task(name)
        assert expected in str(caught.value)
        assert str(caught.value).startswith(f"`task={name}`: ")
    with pytest.raises(InputError, match="returns a whole Task, which has its own loss"):
        load_task("my_tasks:whole", options=DataOptions(metric="f1"))


def test_a_built_in_task_has_its_own_metric():
    with pytest.raises(InputError, match="`task=mnist1d` has its own loss, metric and scaling"):
        load_task("mnist1d", options=DataOptions(metric="f1"))
