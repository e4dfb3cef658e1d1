"""Inputs that stay in their files: the same numbers as in memory, in a fraction of the memory."""

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dashdeploy.data import lazy_inputs
from dashdeploy.data.arrays import stored
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.lazy_inputs import LazyInputs, gathered, joined_inputs, lazy, mapped_inputs
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.scaling.affine import Affine
from dashdeploy.data.task import Split
from dashdeploy.errors import InputError
from dashdeploy.progress import silent
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.training.batches import TensorBatches


@pytest.fixture
def by_the_batch(monkeypatch):
    """Whatever lies in files is too large, and is looked through some samples at a time."""
    monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(lazy_inputs, "NUMBERS_PER_BLOCK", 100)


@pytest.fixture
def folder(tmp_path):
    def write(place="signals", **changes):
        generator = np.random.default_rng(0)
        arrays = {}
        for split, count in (("train", 60), ("test", 21)):
            labels = np.arange(count) % 3
            waves = np.sin(
                np.arange(24) * (1 + labels[:, None, None]) / 3 + generator.uniform(0, 6, (count, 2, 1))
            )
            arrays |= {
                f"x_{split}": 40 * waves + 7 * generator.standard_normal(waves.shape),
                f"y_{split}": labels,
            }
        (tmp_path / place).mkdir()
        for name, array in (arrays | changes).items():
            np.save(tmp_path / place / f"{name}.npy", array)
        return tmp_path / place

    return write


def whole(inputs):
    return inputs[: len(inputs)]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "uint8", "int16", ">f4", "bool"])
@pytest.mark.parametrize("normalize", [None, "channels", "samples"])
@pytest.mark.usefixtures("small_blocks")
def test_files_read_by_the_batch_give_the_numbers_of_memory(folder, monkeypatch, dtype, normalize):
    x = np.random.default_rng(1).uniform(0, 200, (60, 2, 24)).astype(dtype)
    path = folder(x_train=x, x_test=x[:21])
    options = DataOptions(normalize=normalize)
    expected = load_data(path, options=options)
    monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
    task = load_data(path, options=options)
    assert isinstance(task.train.inputs, LazyInputs) and not isinstance(expected.train.inputs, LazyInputs)
    assert (task.source, task.scaling, task.input_shape) == (
        expected.source,
        expected.scaling,
        expected.input_shape,
    )
    for name in ("train", "validation", "test"):
        mine, theirs = getattr(task, name), getattr(expected, name)
        assert torch.equal(whole(mine.inputs), theirs.inputs) and torch.equal(mine.targets, theirs.targets)
        assert mine.inputs[:1].dtype == torch.float32
        assert torch.equal(whole(task.unscaled(mine).inputs), expected.unscaled(theirs).inputs)
        order = torch.randperm(len(mine.targets))
        assert torch.equal(mine.inputs[order], theirs.inputs[order])


@pytest.mark.parametrize("missing", ["interpolate", "mean"])
@pytest.mark.usefixtures("small_blocks")
def test_missing_values_are_filled_alike(folder, monkeypatch, missing):
    x = np.random.default_rng(1).standard_normal((60, 2, 24))
    x[np.random.default_rng(2).uniform(size=x.shape) < 0.1] = np.nan
    x[5, 1] = np.nan
    path = folder(x_train=x, x_test=x[:21])
    options = DataOptions(missing=missing, normalize="channels")
    expected = load_data(path, options=options)
    monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
    task = load_data(path, options=options)
    assert task.notes == expected.notes and any("missing values" in note for note in task.notes)
    assert task.source == expected.source and task.source["missing"] == missing
    assert torch.equal(whole(task.train.inputs), expected.train.inputs)
    assert torch.equal(whole(task.test.inputs), expected.test.inputs)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("missing", [None, "interpolate"])
@pytest.mark.parametrize("how", ["pad", "resample"])
def test_padding_is_cut_off_and_filled_alike(folder, monkeypatch, how, missing):
    x = np.random.default_rng(1).standard_normal((60, 2, 24))
    for row, length in enumerate(np.random.default_rng(2).integers(12, 22, 60)):
        x[row, :, length:] = np.nan
    if missing is not None:
        x[7, 0, 4:6] = np.nan
    path = folder(x_train=x, x_test=x[30:51])
    options = DataOptions(lengths=how, missing=missing, normalize="channels")
    expected = load_data(path, options=options)
    monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
    task = load_data(path, options=options)
    assert task.input_shape == expected.input_shape == (2, 21)
    assert (task.notes, task.scaling, task.source) == (expected.notes, expected.scaling, expected.source)
    for name in ("train", "validation", "test"):
        assert torch.equal(whole(getattr(task, name).inputs), getattr(expected, name).inputs)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", [(60, 24), (60, 24, 2), (60, 6, 5, 3)])
def test_axes_and_a_missing_test_part(tmp_path, monkeypatch, shape):
    x = np.random.default_rng(1).standard_normal(shape)
    np.save(tmp_path / "X.npy", x)
    np.save(tmp_path / "y.npy", np.arange(60) % 3)
    options = DataOptions(layout="channels-last" if len(shape) > 2 else None)
    expected = load_data(tmp_path, options=options, seed=3)
    monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
    task = load_data(tmp_path, options=options, seed=3)
    assert (
        task.input_shape
        == expected.input_shape
        == ((1, 24) if len(shape) == 2 else (shape[-1], *shape[1:-1]))
    )
    assert task.source == expected.source and task.notes == expected.notes and len(task.test.targets) == 12
    for name in ("train", "validation", "test"):
        assert torch.equal(whole(getattr(task, name).inputs), getattr(expected, name).inputs)


BAD = {
    "NaN": (
        lambda x: np.where(np.arange(x.size).reshape(x.shape) % 700 == 699, np.nan, x),
        "NaN or infinite",
    ),
    "infinite": (lambda x: np.where(x == x[50, 1, 3], np.inf, x), "[50, 1, 3]"),
    "beyond float32": (
        lambda x: np.where(x == x[50, 1, 3], 1e300, x),
        "beyond float32, the first at index [50, 1, 3]",
    ),
    "complex": (lambda x: x + 0j, "complex128"),
    "five axes": (lambda x: x[..., None, None], "5 axes"),
    "another length": (lambda x: x[:, :, :-1], "[2, 24] but x_train of shape [2, 23]"),
    "other samples": (lambda x: x[:-1], "x_train has 59 samples but y_train has 60"),
    "nothing known": (lambda x: np.where(np.arange(2)[:, None], np.nan, x), "channel 2 of 2 has no value"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("small_blocks")
def test_what_is_wrong_is_said_in_the_same_words(folder, monkeypatch, name):
    change, text = BAD[name]
    x = np.random.default_rng(1).standard_normal((60, 2, 24))
    path = folder(x_train=change(x))
    options = DataOptions(missing="mean" if name == "nothing known" else None)
    said = []
    for limit in (2**30, 0):
        monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", limit)
        with pytest.raises(InputError) as caught:
            load_data(path, options=options)
        said.append(str(caught.value))
    assert said[0] == said[1] and text in said[0] and "\n" not in said[0]


@pytest.mark.usefixtures("by_the_batch")
def test_a_file_that_was_cut_short_is_refused(folder):
    path = folder()
    content = (path / "x_train.npy").read_bytes()
    (path / "x_train.npy").write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"x_train.npy: not a whole .npy file"):
        load_data(path)


@pytest.mark.usefixtures("by_the_batch")
def test_arrays_of_a_function_that_are_mapped_stay_mapped(folder):
    path = folder()
    mapped = {each.stem: np.load(each, mmap_mode="r") for each in path.glob("*.npy")}
    task = task_from_arrays("mine", "mine", mapped)
    plain = task_from_arrays("mine", "mine", {name: np.array(array) for name, array in mapped.items()})
    assert isinstance(task.train.inputs, LazyInputs) and isinstance(plain.train.inputs, torch.Tensor)
    assert task.source == plain.source and torch.equal(whole(task.train.inputs), plain.train.inputs)


def test_blocks_have_the_moments_of_the_whole(monkeypatch):
    x = torch.randn(50, 3, 8, generator=torch.Generator().manual_seed(0)) * 20 - 300
    at_once = Affine.of(x)
    monkeypatch.setattr(lazy_inputs, "NUMBERS_PER_BLOCK", 70)
    by_blocks = Affine.of(x)
    # Double precision; the order of the sums is another one.
    np.testing.assert_allclose(by_blocks.mean, at_once.mean, rtol=1e-13)
    np.testing.assert_allclose(by_blocks.deviation, at_once.deviation, rtol=1e-13)
    assert Affine.of(lazy((50, 3, 8), lambda i: x[i])) == by_blocks


def test_parts_of_both_kinds_are_joined_in_order():
    x = torch.arange(40.0).view(10, 2, 2)
    half = lazy((5, 2, 2), lambda i: x[5 + i])
    both = joined_inputs([x[:5], mapped_inputs(half, lambda batch: batch * 1)])
    order = torch.tensor([7, 0, 9, 4, 4, 5])
    assert torch.equal(both[order], x[order]) and torch.equal(both[2:8], x[2:8])
    odd = torch.arange(10) % 2 == 1
    assert torch.equal(whole(both[odd]), x[odd]) and len(both[:0]) == 0


def test_rows_of_a_mapped_file_are_copies(folder):
    path = folder()
    rows = StoredArray.of(np.load(path / "x_train.npy", mmap_mode="r"))
    batch = rows.read([3, 1, 3])
    assert not isinstance(batch, np.memmap) and batch.flags.writeable and np.array_equal(batch[0], batch[2])
    assert np.array_equal(rows.whole(), np.load(path / "x_train.npy"))


SMALL = {"width": 2, "kernel_sizes": (3, 5), "dilations": (1, 3), "batch_size": 16, "search_epochs": 2}


@pytest.mark.usefixtures("small_blocks")
def test_a_search_by_the_batch_ends_with_the_same_bits(folder, tmp_path, monkeypatch):
    path = folder()
    settings = SearchSettings.preset(
        "quick", **SMALL, retrain_epochs=2, refit=True, shortlist_folds=2, shortlist=2, devices="cpu"
    )
    for name, limit in (("memory", 2**30), ("batch", 0)):
        monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", limit)
        task = load_data(path, options=DataOptions(normalize="channels"))
        search(task, settings, tmp_path / name, progress=silent)
    memory, batch = (load_file(tmp_path / name / "model.safetensors") for name in ("memory", "batch"))
    assert all(torch.equal(memory[name], batch[name]) for name in memory)
    samples = [np.load(tmp_path / name / "samples.npz")["inputs"] for name in ("memory", "batch")]
    assert np.array_equal(*samples)
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("memory", "batch")]
    assert [each["searched"] for each in metrics] == [metrics[0]["searched"]] * 2


PROGRAM = """
import json, resource, sys
from pathlib import Path

from dashdeploy.data.arrays import stored
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import supernet_of
from dashdeploy.search.training.lightning_module import PhaseModule
from dashdeploy.search.training.trainer import fit, trainer_of

path, most_in_memory, room = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
stored.MOST_BYTES_IN_MEMORY = most_in_memory
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
settings = SearchSettings.preset("quick", width=2, kernel_sizes=(3,), dilations=(1,), batch_size=16, devices="cpu")
task = load_data(path, options=DataOptions(normalize="channels"))
supernet, _ = supernet_of(task, settings)
module = PhaseModule(supernet, task, Phase("search", 1, 0.01, 1e-4, 0.0), settings)
quiet = dict(logger=False, enable_checkpointing=False, default_root_dir=path)
fit(trainer_of(settings, module.phase, [], alone=True, **quiet), module)
print(json.dumps({"loss": module.record["train_loss"], "samples": len(task.train.targets)}))
"""


def in_a_process_of_its_own(path, most_in_memory, room):
    words = [sys.executable, "-c", PROGRAM, str(path), str(most_in_memory), str(room)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=600, check=False)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="RLIMIT_DATA counts what is mapped privately on Linux alone"
)
@pytest.mark.parametrize("form", ["npy", "h5"])
def test_a_step_on_data_larger_than_the_memory_that_a_process_may_have(tmp_path, form):
    """2.4 GiB of training data and 800 MiB of room; the same program without lazy inputs runs out of it."""
    shape, generator = (160_000, 4, 1000), np.random.default_rng(0)
    small = generator.standard_normal((32, 4, 1000)).astype("f4")
    labels = {"y_train": np.arange(shape[0]) % 3, "y_test": np.arange(32) % 3, "y_val": np.arange(32) % 3}
    arrays = labels | {"x_test": small, "x_val": small}
    if form == "npy":
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        x = np.lib.format.open_memmap(tmp_path / "x_train.npy", "w+", "f4", shape)
        x[::1000] = small[0]  # the rest are holes of the file, which read as 0
        del x
        path = tmp_path
    else:
        import h5py

        path = tmp_path / "data.h5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
            x = file.create_dataset("x_train", shape, "f4", chunks=(64, 4, 1000), compression="lzf")
            for start in range(0, shape[0], 16_000):
                x[start : start + 16_000] = np.broadcast_to(small[0], (16_000, 4, 1000))
    done = in_a_process_of_its_own(path, 2**30, 800 * 2**20)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["samples"] == shape[0] and np.isfinite(found["loss"])
    without = in_a_process_of_its_own(path, 2**40, 800 * 2**20)
    assert without.returncode != 0 and "emory" in without.stderr


def test_the_next_batch_is_read_while_the_last_one_is_used():
    x, read = torch.arange(20.0).view(10, 2), []

    def gather(chosen):
        read.append(list(chosen))
        return x[list(chosen)]

    split = Split(gathered((10, 2), gather), torch.arange(10))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    batches = iter(TensorBatches(split, 4, order=lambda _: order))
    first = next(batches)
    for _ in range(1000):  # the second one is on its way without being asked for
        if len(read) == 2:
            break
        time.sleep(0.01)
    assert len(read) == 2
    found = [first, *batches]
    assert read == [order[:4].tolist(), order[4:8].tolist(), order[8:].tolist()]
    assert torch.equal(torch.cat([targets for _, targets in found]), order)
    assert torch.equal(torch.cat([inputs for inputs, _ in found]), x[order])


def test_what_goes_wrong_while_reading_is_told_and_ends_the_reading():
    def make(index):
        if index == 5:
            raise InputError("sample 5 cannot be read; copy it again")
        return torch.zeros(1, 2)

    split = Split(lazy((9, 1, 2), make), torch.arange(9))
    batches = iter(TensorBatches(split, 3))
    next(batches)
    before = threading.active_count()
    with pytest.raises(InputError, match="sample 5"):
        next(batches)
    assert threading.active_count() == before - 1
