"""Temperature, noise, and the gradients of the architecture parameters."""

import math

import pytest
import torch

from dashdeploy.ops.aggconv.module import AggConv1d
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.architecture_gradient import mix, shape_gradients, temperature, unmix


def settings(**overrides):
    return SearchSettings.preset("quick", **overrides)


def layers():
    torch.manual_seed(0)
    made = [AggConv1d(2, 2, [3, 5], [1, 4]) for _ in range(2)]
    for number, layer in enumerate(made, start=1):
        layer.alpha.grad = number * torch.tensor([[3.0, 0.0], [0.0, 4.0]])  # of norm 5 and 10
    return made


def test_the_temperature_falls_exponentially():
    falling = settings(temperature=4.0, final_temperature=0.25)
    assert [temperature(falling, p) for p in (0, 0.5, 1)] == pytest.approx([4, 1, 0.25])
    assert temperature(settings(final_temperature=1.0), 0.3) == 1
    assert temperature(settings(), 1.0) == pytest.approx(0.05)  # a search ends decided


def test_mixing_is_the_tempered_softmax_and_noise_is_gumbel_s():
    (layer,) = layers()[:1]
    torch.nn.init.normal_(layer.alpha)
    cold = settings(temperature=0.5, final_temperature=0.5, gumbel_noise=True)
    mix([layer], cold, 0, noise=False)
    torch.testing.assert_close(layer.mixing, (layer.alpha.flatten() / 0.5).softmax(0))
    # The largest of logits with Gumbel noise is distributed as their softmax (Gumbel-max).
    wins = torch.zeros(4)
    for _ in range(4000):
        mix([layer], cold, 0, noise=True)
        wins[layer.mixing.argmax()] += 1
    torch.testing.assert_close(wins / 4000, layer.coefficients().detach(), rtol=0, atol=0.03)


def test_without_noise_the_random_state_is_not_touched():
    before = torch.get_rng_state()
    mix(layers(), settings(), 0.5, noise=True)
    assert not torch.equal(torch.get_rng_state(), before)  # the layers' own weights were drawn
    made, before = layers(), torch.get_rng_state()
    mix(made, settings(), 0.5, noise=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_unmixing_keeps_the_last_mixture():
    (layer,) = layers()[:1]
    torch.nn.init.normal_(layer.alpha)
    cold = settings(final_temperature=0.2)
    mix([layer], cold, 1.0, noise=False)
    mixture = layer.mixing.detach()
    unmix([layer], cold)
    assert layer.mixing is None
    torch.testing.assert_close(layer.coefficients().detach(), mixture)


def norms(made):
    return [float(layer.alpha.grad.norm()) for layer in made]


def test_gradients_are_scaled_together_or_layer_by_layer():
    raw, total, layer = layers(), layers(), layers()
    shape_gradients(raw, settings(alpha_gradient="raw"))
    assert norms(raw) == pytest.approx([5, 10])
    shape_gradients(total, settings(alpha_gradient="total", alpha_gradient_norm=0.01))
    assert math.hypot(*norms(total)) == pytest.approx(0.01)
    assert norms(total)[1] == pytest.approx(2 * norms(total)[0])
    shape_gradients(layer, settings(alpha_gradient="layer", alpha_gradient_norm=0.5))
    assert norms(layer) == pytest.approx([0.5, 0.5])


def test_the_pressure_grows_with_the_field():
    made = layers()
    before = [layer.alpha.grad.clone() for layer in made]
    shape_gradients(made, settings(field_pressure=1e-3))
    for layer, old in zip(made, before, strict=True):
        added = torch.tensor([[3.0, 9.0], [5.0, 17.0]]) * 1e-3  # d (k - 1) + 1
        torch.testing.assert_close(layer.alpha.grad - old, added)


def test_no_gradient_stays_none_and_a_zero_one_stays_finite():
    made = layers()
    made[0].alpha.grad = None
    made[1].alpha.grad.zero_()
    shape_gradients(made, settings(alpha_gradient="layer"))
    assert made[0].alpha.grad is None
    assert torch.equal(made[1].alpha.grad, torch.zeros(2, 2))
