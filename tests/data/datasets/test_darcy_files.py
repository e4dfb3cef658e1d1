"""The published fields of Darcy flow, in small files of every format that they come in."""

import sys

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from dashdeploy.data.catalog import load_task
from dashdeploy.data.datasets import darcy
from dashdeploy.errors import InputError, MissingCapabilityError

COUNT, NODES = 8, 41
RANDOM = np.random.default_rng(0)
FIELDS = [
    {
        "coeff": RANDOM.choice([3.0, 12.0], (COUNT, NODES, NODES)),
        "Kcoeff": np.zeros(3),
        "sol": RANDOM.random((COUNT, NODES, NODES)),
    }
    for _ in range(2)
]


def matlab5(path, fields):
    scipy.io.savemat(path.with_suffix(".mat"), fields)


def matlab73(path, fields):
    """A block of text first, as MATLAB writes it; axes from last to first."""
    with h5py.File(path.with_suffix(".mat"), "w", userblock_size=512) as file:
        for name, array in fields.items():
            file[name] = np.transpose(array)
    with path.with_suffix(".mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def npz(path, fields):
    np.savez(path.with_suffix(".npz"), **fields)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A task of few and small fields."""
    for name, value in {"SIZE": 21, "TRAIN": 4, "VALIDATION": 2, "TEST": 3}.items():
        monkeypatch.setattr(darcy, name, value)
    return tmp_path


@pytest.mark.parametrize("write", [matlab5, matlab73, npz])
def test_every_format_gives_the_same_task(small, write):
    for number, fields in enumerate(FIELDS, 1):
        write(small / f"piececonst_r421_N1024_smooth{number}", fields)
    task = load_task("darcy", data_dir=small)
    assert task.input_shape == (3, 21, 21)
    train, test = task.unscaled(task.train), task.unscaled(task.test)
    np.testing.assert_allclose(train.inputs[:, 0], FIELDS[0]["coeff"][:4, ::2, ::2], rtol=1e-6)
    np.testing.assert_allclose(
        task.unscaled(task.validation).targets[:, 0], FIELDS[0]["sol"][4:6, ::2, ::2], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(test.targets[:, 0], FIELDS[1]["sol"][:3, ::2, ::2], rtol=1e-5, atol=1e-6)
    # Coordinates as in the benchmark: the first one grows along the last axis.
    np.testing.assert_allclose(test.inputs[0, 1, 5], np.linspace(0, 1, 21), atol=1e-6)
    assert "nas-bench-360" in task.source
    coarse = load_task("darcy43", data_dir=small)
    torch.testing.assert_close(coarse.unscaled(coarse.test).targets, test.targets[..., ::2, ::2])
    assert (task.metric.name, task.metric.higher_is_better) == ("relative_l2", False)


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_task("darcy", data_dir=folder)
    assert "\n" not in str(caught.value) and "; " in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_is_named(small):
    first = small / "piececonst_r421_N1024_smooth1"
    assert "smooth1.mat (or .npz) is not there; download it" in refusal(small)
    matlab5(first, {"coeff": FIELDS[0]["coeff"]})
    assert "smooth1.mat: it has no array sol; download the file again" in refusal(small)
    matlab5(first, {**FIELDS[0], "sol": np.zeros((8, 40, 40))})
    assert "sol has shape [8, 40, 40]; the published one is [1024, 421, 421]" in refusal(small)
    matlab5(first, {**FIELDS[0], "sol": np.zeros((5, 41, 41))})
    assert "sol has shape [5, 41, 41]; the published one is [1024, 421, 421]: at least 6 fields" in refusal(
        small
    )
    matlab5(first, {**FIELDS[0], "sol": np.full((8, 41, 41), np.nan)})
    assert "sol holds 2646 values that are NaN" in refusal(small)
    matlab5(first, FIELDS[0])
    assert "smooth2.mat (or .npz) is not there" in refusal(small)
    for write, ending in ((matlab5, ".mat"), (matlab73, ".mat"), (npz, ".npz")):
        first.with_suffix(".mat").unlink(missing_ok=True)
        write(first, FIELDS[0])
        path = first.with_suffix(ending)
        path.write_bytes(path.read_bytes()[:700])
        assert f"smooth1{ending}: " in refusal(small)
        path.unlink()


def test_a_missing_reader_is_named_with_its_command(small, monkeypatch):
    matlab73(small / "piececonst_r421_N1024_smooth1", FIELDS[0])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingCapabilityError, match="install it with: pip install h5py"):
        load_task("darcy", data_dir=small)
    matlab5(small / "piececonst_r421_N1024_smooth1", FIELDS[0])
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingCapabilityError, match="install it with: pip install scipy"):
        load_task("darcy", data_dir=small)
