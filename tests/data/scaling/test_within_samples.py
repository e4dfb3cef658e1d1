"""Samples scaled by themselves, with their levels and sizes as further channels."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from dashdeploy.data.lazy_inputs import LazyInputs
from dashdeploy.data.scaling.scaling import Scaled, Scaling, scaling_of
from dashdeploy.data.scaling.within_samples import SampleSizes, per_sample


def series(samples=40, channels=2, length=30, unit=1.0, seed=0):
    """Series whose deviations span 6 orders of magnitude and whose levels have either sign."""
    generator = np.random.default_rng(seed)
    size = 10 ** generator.uniform(-3, 3, (samples, channels, 1))
    level = 10 ** generator.uniform(-3, 3, (samples, channels, 1)) * generator.choice(
        [-1, 1], (samples, channels, 1)
    )
    noise = generator.standard_normal((samples, channels, length))
    return torch.from_numpy(unit * (size * noise + level)).float()


def expected(train, x):
    """By NumPy, in float64."""
    train, x = train.double().numpy(), x.double().numpy()
    unit = 2 ** np.round(np.log2(np.median(train.std(2), axis=0)))

    def logarithms(of):
        mean, deviation = of.mean(2) / unit, of.std(2) / unit
        return np.stack([np.sign(mean) * np.log1p(np.abs(mean)), np.log(deviation)])

    known = logarithms(train)
    further = (logarithms(x) - known.mean(1, keepdims=True)) / known.std(1, keepdims=True)
    scaled = (x - x.mean(2, keepdims=True)) / x.std(2, keepdims=True)
    return np.concatenate([scaled, *(np.repeat(each[..., None], x.shape[2], 2) for each in further)], 1)


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e-21, 1e15])
def test_levels_and_sizes_are_further_channels_in_any_unit(unit):
    train, x = series(unit=unit), series(samples=8, unit=unit, seed=1).clamp(-1e3 * unit, 1e3 * unit)
    scaling = scaling_of(train, None, "sizes")
    found = scaling.scale_inputs(x)
    assert found.shape == (8, 6, 30)
    least = (train.double().std(2, correction=0).min(0).values, x.double().std(2, correction=0).min(0).values)
    assert (least[1] > least[0]).all()  # none of x is clamped
    np.testing.assert_allclose(found.numpy(), expected(train, x), atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e-21, 1e15])
def test_samples_are_scaled_by_themselves_in_any_unit(unit):
    x = series(unit=unit)
    scaling = scaling_of(x, None, "samples")
    found = scaling.scale_inputs(x).double()
    np.testing.assert_allclose(found.std(2, correction=0), 1, atol=1e-3)
    assert (scaling.inputs is None) == (unit == 1)
    torch.testing.assert_close(Scaled(nn.Identity(), scaling, rank=1, dense=True)(x).double(), found)


def test_what_is_undone_is_scaled_to_the_same_again():
    train = series()
    sizes = SampleSizes.of(train)
    x = torch.cat([train, torch.full((1, 2, 30), 5.0), torch.zeros(1, 2, 30)])  # constant ones, too
    scaled = sizes.apply(x)
    assert torch.isfinite(scaled).all()
    assert torch.equal(scaled[-2:, :2], torch.zeros(2, 2, 30))
    back = sizes.undo(scaled)
    torch.testing.assert_close(back, x, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(sizes.apply(back), scaled, atol=2e-3, rtol=1e-3)


def test_levels_of_rounding_alone_are_not_blown_up():
    x = per_sample(series())
    found = SampleSizes.of(x).apply(x)
    assert found[:, 2:].abs().max() < 1e-3
    torch.testing.assert_close(found[:, :2], per_sample(x), atol=1e-4, rtol=0)


def test_a_channel_that_never_varies_has_no_size():
    x = series()
    x[:, 1] = 3.0
    sizes = SampleSizes.of(x)
    assert (sizes.unit[1], sizes.least[1]) == (1.0, 1.0)
    found = sizes.apply(x)
    assert torch.equal(found[:, [1, 3, 5]], torch.zeros(40, 3, 30))


@pytest.mark.parametrize(("shape", "rank"), [((20, 2, 30), 1), ((20, 3, 5, 6), 2)])
def test_a_network_has_it_as_a_part(shape, rank):
    torch.manual_seed(0)
    x = torch.randn(shape) * torch.logspace(-2, 2, 20).view(20, *[1] * (rank + 1)) + 1
    scaling = scaling_of(x, None, "sizes")
    body = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    wanted = body(scaling.scale_inputs(x))
    torch.testing.assert_close(Scaled(body, scaling, rank=rank, dense=False)(x), wanted)
    assert Scaling.from_json(json.loads(json.dumps(asdict(scaling)))) == scaling


def test_inputs_that_are_made_by_the_batch_are_scaled_by_the_batch():
    x = series()
    lazy = LazyInputs(tuple(x.shape), lambda chosen: x[list(chosen)])
    scaling = scaling_of(lazy, None, "sizes")
    assert scaling == scaling_of(x, None, "sizes")
    scaled = scaling.scale_inputs(lazy)
    assert scaled.shape == (40, 6, 30) and scaling.unscale_inputs(scaled).shape == (40, 2, 30)
    torch.testing.assert_close(scaled[torch.tensor([3, 1])], scaling.scale_inputs(x)[[3, 1]])
