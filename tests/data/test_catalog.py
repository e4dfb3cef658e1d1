"""The built-in tasks."""

import random
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.data.catalog import TASKS, load_task
from dashdeploy.data.task import Split, hold_out
from dashdeploy.errors import InputError, MissingCapabilityError


@pytest.fixture(scope="module")
def generated():
    """MNIST-1D, and whether making it left the global random state as it was."""
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.rand()
    random.seed(5)
    np.random.seed(5)
    task = load_task("mnist1d", seed=0)
    return task, (random.random(), np.random.rand()) == expected


@pytest.fixture(scope="module")
def mnist1d(generated):
    return generated[0]


def test_mnist1d_is_the_published_data_set(mnist1d):
    assert (mnist1d.input_shape, mnist1d.rank, mnist1d.outputs) == ((1, 40), 1, 10)
    assert mnist1d.labels == tuple("0123456789")
    sizes = [len(split.targets) for split in (mnist1d.train, mnist1d.validation, mnist1d.test)]
    assert sizes[2] == 1000
    assert sum(sizes[:2]) == 4000
    assert sizes[1] == pytest.approx(500, abs=5)
    everything = torch.cat([mnist1d.train.inputs, mnist1d.validation.inputs, mnist1d.test.inputs])
    assert everything.mean().item() == pytest.approx(0, abs=1e-5)  # as the package centres it
    assert everything.std().item() == pytest.approx(1, abs=1e-4)
    # What seed 42, the published one, gives.
    assert mnist1d.test.targets.bincount().tolist() == [102, 104, 89, 106, 106, 98, 99, 96, 98, 102]


def test_every_class_is_held_out_alike(mnist1d):
    train, validation = (split.targets.bincount() for split in (mnist1d.train, mnist1d.validation))
    assert ((validation / (train + validation)) - 0.125).abs().max() < 0.002


def test_training_and_validation_do_not_overlap(mnist1d):
    train = {row.numpy().tobytes() for row in mnist1d.train.inputs}
    assert len(train) == len(mnist1d.train.targets)
    assert train.isdisjoint(row.numpy().tobytes() for row in mnist1d.validation.inputs)


def test_loading_leaves_the_random_state_alone(generated):
    assert generated[1]


def test_loss_and_metric_are_those_of_a_classifier(mnist1d):
    targets = mnist1d.test.targets[:4]
    logits = torch.nn.functional.one_hot(targets, 10).float() * 50
    logits[0] = logits[0].roll(1)
    score = mnist1d.metric.create()
    score.update(logits, targets)
    assert score.compute().item() == pytest.approx(0.75)
    assert mnist1d.loss(logits, targets).item() == pytest.approx(50 / 4, abs=1e-4)


def test_a_typo_is_met_with_a_suggestion():
    with pytest.raises(InputError, match=r"`task=mnsit1d`: no such task; did you mean mnist1d\?"):
        load_task("mnsit1d")
    with pytest.raises(
        InputError, match="choose from acsf1, arrowhead, cifar100, cosmic, cosmic_auroc, darcy"
    ):
        load_task("zzz")


def test_every_task_has_one_line():
    assert all(line and "\n" not in line for line in TASKS.values())


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    with pytest.raises(MissingCapabilityError, match=r"pip install 'dashdeploy\[tasks\]'") as caught:
        load_task("mnist1d")
    assert caught.value.exit_code == 3


def test_hold_out_keeps_the_order():
    data = Split(torch.arange(40.0)[:, None, None], torch.arange(40) % 2)
    train, validation = hold_out(data, 0.25, seed=0)
    assert validation.targets.bincount().tolist() == [5, 5]
    for part in (train, validation):
        assert part.inputs.flatten().diff().min() > 0
        assert torch.equal(part.inputs.flatten().long() % 2, part.targets)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
def test_hold_out_takes_its_share_of_all_samples_and_leaves_every_class_one(sizes, share, seed):
    targets = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    data = Split(torch.arange(float(len(targets)))[:, None, None], targets)
    train, validation = hold_out(data, share, seed)
    kept, held = (part.targets.bincount(minlength=len(sizes)) for part in (train, validation))
    assert (kept + held).tolist() == sizes and int(kept.min()) >= 1
    room = len(targets) - len(sizes)
    assert int(held.sum()) == min(room, max(1, round(share * len(targets))))
    if int(held.sum()) < room:  # as even as can be: within one of the class's quota, where it has so many
        quotas = share * torch.tensor(sizes)
        full = held == torch.tensor(sizes) - 1
        assert ((held - quotas).abs()[~full] < 1 + 1e-6).all() or bool(full.any())
    again = hold_out(data, share, seed)[1]
    assert torch.equal(again.inputs, validation.inputs)


def test_hold_out_of_two_samples_a_class_takes_some_classes():
    """104 series of 52 classes: 15 % of them are 16, not one of each class."""
    targets = torch.arange(104) % 52
    train, validation = hold_out(Split(torch.zeros(104, 1, 1), targets), 0.15, seed=1)
    assert (len(train.targets), len(validation.targets)) == (88, 16)
    assert int(validation.targets.bincount().max()) == 1
    other = hold_out(Split(torch.zeros(104, 1, 1), targets), 0.15, seed=2)[1]
    assert other.targets.tolist() != validation.targets.tolist()
