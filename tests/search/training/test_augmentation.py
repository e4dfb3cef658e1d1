"""What training batches go through, against its definitions."""

import dataclasses

import pytest
import torch
from torch import nn

from dashdeploy.data.catalog import load_task
from dashdeploy.data.datasets.ucr_archive import circular_shift
from dashdeploy.data.losses import cross_entropy
from dashdeploy.errors import InputError
from dashdeploy.search.training.augmentation import (
    augmented,
    check_augmentation,
    smoothed_loss,
    training_loss,
)


def with_settings(small, **changes):
    return small.model_copy(update=changes)


def test_nothing_is_changed_unless_asked_for(waves_task, small):
    x = waves_task.train.inputs[:8]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert augmented(x, waves_task, small) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_the_task_s_own_augmentation_can_be_left_out(waves_task, small):
    task = dataclasses.replace(waves_task, augment=torch.neg)
    x = task.train.inputs[:8]
    assert torch.equal(augmented(x, task, small), -x)
    assert augmented(x, task, with_settings(small, augment=False)) is x


def test_noise_has_its_deviation_and_masks_hide_whole_positions(waves_task, small):
    torch.manual_seed(0)
    x = torch.ones(200, 3, 24)
    noisy = augmented(x, waves_task, with_settings(small, noise=0.3))
    assert float((noisy - x).std()) == pytest.approx(0.3, rel=0.02)
    masked = augmented(x, waves_task, with_settings(small, mask=0.25))
    assert set(masked.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(masked[:, 0], masked[:, 1]) and torch.equal(masked[:, 0], masked[:, 2])
    assert float(masked.mean()) == pytest.approx(0.75, abs=0.02)


def test_label_smoothing_is_torch_s(waves_task, small):
    logits, targets = torch.randn(32, 3), torch.randint(3, (32,))
    loss = smoothed_loss(logits, targets, waves_task, with_settings(small, label_smoothing=0.2))
    torch.testing.assert_close(loss, cross_entropy(logits, targets, label_smoothing=0.2))


def test_mixup_is_the_loss_of_mixed_targets(waves_task, small):
    """Against cross-entropy with the mixed one-hot targets, whose pairs and share are drawn again."""
    x, y = waves_task.train.inputs[:16], waves_task.train.targets[:16]
    network = nn.Sequential(nn.Flatten(), nn.Linear(24, 3))
    torch.manual_seed(3)
    loss = training_loss(network, x, y, waves_task, with_settings(small, mixup=0.4))
    torch.manual_seed(3)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    partner = torch.randperm(16)
    one_hot = nn.functional.one_hot(y, 3).float()
    mixed = [share * each + (1 - share) * each[partner] for each in (x, one_hot)]
    torch.testing.assert_close(loss, nn.functional.cross_entropy(network(mixed[0]), mixed[1]))


def test_only_classes_have_labels_to_smooth(waves_task, small):
    task = dataclasses.replace(waves_task, kind="regression")
    check_augmentation(task, small)
    with pytest.raises(InputError, match=r"label_smoothing = 0.1: task waves is regression, only classes"):
        check_augmentation(task, with_settings(small, label_smoothing=0.1))


def test_circular_shift_rolls_every_series_by_itself():
    torch.manual_seed(0)
    x = torch.arange(12.0).expand(50, 2, 12)
    shifted = circular_shift(x)
    starts = shifted[:, 0, 0].long().tolist()
    assert len(set(starts)) > 6
    for series, start in zip(shifted, starts, strict=True):
        assert torch.equal(series, x[0].roll(-start, -1))


def test_outlines_are_shifted():
    pytest.importorskip("aeon")
    assert load_task("osuleaf", seed=0).augment is circular_shift
