"""Scaling: learned from training data, undone exactly, part of the deployed model."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.scaling.affine import Affine
from dashdeploy.data.scaling.scaling import Scaled, Scaling, scaling_of
from dashdeploy.data.scaling.within_samples import SampleSizes, per_sample


def test_an_affine_gives_mean_0_and_deviation_1_and_back():
    x = (
        torch.randn(50, 3, 8) * torch.tensor([1.0, 20.0, 0.01])[:, None]
        + torch.tensor([5.0, -300.0, 0.0])[:, None]
    )
    affine = Affine.of(x)
    scaled = affine.apply(x)
    torch.testing.assert_close(scaled.mean((0, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(affine.undo(scaled), x)


def test_a_constant_channel_is_left_without_a_division_by_zero():
    affine = Affine.of(torch.full((4, 1, 6), 3.0))
    assert affine.deviation == (1.0,)
    assert torch.equal(affine.apply(torch.full((2, 1, 6), 3.0)), torch.zeros(2, 1, 6))
    assert torch.equal(per_sample(torch.full((2, 1, 6), 3.0)), torch.zeros(2, 1, 6))


def test_json_there_and_back():
    for scaling in (
        Scaling(),
        Scaling(Affine((1.0, 2.0), (3.0, 4.0))),
        Scaling(None, Affine((0.1,), (1e-9,))),
        Scaling(per_sample=True),
        Scaling(sizes=SampleSizes((2.0,), (0.1,), Affine((0.5,), (3.0,)), Affine((-1.0,), (0.2,)))),
    ):
        assert Scaling.from_json(json.loads(json.dumps(scaling.to_json()))) == scaling
    assert not Scaling() and Scaling(per_sample=True)
    assert Scaling().to_json() == {}


@pytest.mark.parametrize("dense", [False, True])
def test_a_scaled_network_takes_and_gives_numbers_as_they_are(dense):
    torch.manual_seed(0)
    body = nn.Conv1d(2, 3, 3, padding=1) if dense else nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    scaling = Scaling(Affine((5.0, -2.0), (3.0, 0.5)), Affine((1.0, 10.0, 100.0), (2.0, 0.1, 7.0)))
    x = torch.randn(4, 2, 8)
    expected = scaling.outputs.undo(body(scaling.inputs.apply(x)))
    torch.testing.assert_close(Scaled(body, scaling, rank=1, dense=dense)(x), expected)


def test_a_network_s_scaling_is_rounded_once():
    """Means and deviations are float64 until then; 1 / 3 in float32 is not the inverse of 3."""
    affine = Affine((0.0, 16777217.0), (1 / 3, 49.0))
    step, back = affine.step(1), affine.step_back(1)
    np.testing.assert_array_equal(step.factor.flatten(), np.float32([3.0, 1 / 49]))
    np.testing.assert_array_equal(back.offset.flatten(), np.float32([0.0, -16777217 / 49]))


def test_scaling_within_samples_is_part_of_the_network_too():
    x = torch.randn(4, 2, 8) * 30 + 7
    network = Scaled(nn.Identity(), Scaling(per_sample=True), rank=1, dense=True)
    torch.testing.assert_close(network(x), per_sample(x))
    torch.testing.assert_close(per_sample(x).std(2, correction=0), torch.ones(4, 2))


def channels(*means_and_deviations):
    generator = torch.Generator().manual_seed(0)
    return torch.stack(
        [
            mean + deviation * torch.randn(500, 4, generator=generator)
            for mean, deviation in means_and_deviations
        ],
        1,
    )


@pytest.mark.parametrize(
    ("data", "scaled"),
    [
        ([(0, 1), (0.5, 0.3)], None),  # as data often are
        ([(0, 1), (0, 0.01)], None),  # a rare letter among others
        ([(100, 1), (0, 1)], [True, False]),  # padded with zeros, it would have steps at its ends
        ([(0, 50), (0, 0.01)], [True, False]),
        ([(0, 0.01), (0, 0.02)], [True, True]),
    ],
)
def test_by_default_what_is_far_from_standard_is_scaled(data, scaled):
    inputs = channels(*data)
    scaling = scaling_of(inputs, None, None)
    if scaled is None:
        assert not scaling
        return
    after = scaling.scale_inputs(inputs)
    for channel, is_scaled in enumerate(scaled):
        if is_scaled:
            assert float(after[:, channel].mean()) == pytest.approx(0, abs=1e-4)
            assert float(after[:, channel].std(correction=0)) == pytest.approx(1, abs=1e-4)
        else:
            assert torch.equal(after[:, channel], inputs[:, channel])
    assert not scaling_of(inputs, None, "none")
    assert scaling_of(inputs, None, "channels") == Scaling(Affine.of(inputs))


def test_numbers_to_predict_are_scaled_by_themselves():
    inputs, targets = channels((0, 1)), channels((1000, 3))[:, :, 0]
    scaling = scaling_of(inputs, targets, None)
    assert scaling.inputs is None
    assert scaling.outputs == Affine.of(targets)


def test_a_note_says_so():
    arrays = {
        "x_train": 1000 + np.random.default_rng(0).standard_normal((40, 8)),
        "y_train": np.arange(40) % 2,
    }
    arrays |= {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}
    (note,) = task_from_arrays("far", "here", arrays).notes
    assert (
        note
        == "inputs far from mean 0 and deviation 1 are scaled to that, by channel; `normalize=none` leaves them"
    )
    task = task_from_arrays("far", "here", arrays, DataOptions(normalize="none"))
    assert not task.notes and not task.scaling


def test_padding_does_not_count_where_samples_are_scaled_by_themselves():
    """Series around 100 and 0, in 4 of 8 values: what they have has mean 0, and twice the deviation of the whole."""
    short = np.full((12, 1, 8), np.nan)
    short[:, 0, :4] = np.random.default_rng(0).standard_normal((12, 4)) + 100 * (np.arange(12) % 2)[:, None]
    short[0] = np.arange(8)
    arrays = {"x_train": short, "y_train": np.arange(12) % 2, "x_test": short, "y_test": np.arange(12) % 2}
    task = task_from_arrays("short", "short.npz", arrays, DataOptions(normalize="samples"))
    assert any("filled with their own mean" in note for note in task.notes)
    found, known = task.test.inputs.numpy()[1:, 0], short[1:, 0, :4]
    expected = (known - known.mean(1, keepdims=True)) / known.std(1, keepdims=True) * np.sqrt(2)
    np.testing.assert_allclose(found[:, :4], expected, atol=1e-3)
    np.testing.assert_allclose(found[:, 4:], 0, atol=1e-3)
