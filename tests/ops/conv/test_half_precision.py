"""Shapes for which half precision is wrong are computed in float32."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from dashdeploy.ops.conv import half_precision, padded_conv
from dashdeploy.ops.conv.padded_conv import padded_convolution
from dashdeploy.ops.training.prepare import prepare_for_training

SAME = ([(3, 4)], (1,), 1, 1)


@pytest.fixture(autouse=True)
def nothing_is_known():
    half_precision._agrees.cache_clear()
    yield
    half_precision._agrees.cache_clear()


def close(mine, exact):
    return float((mine.double() - exact).abs().max() / exact.abs().max()) < 0.02


@pytest.mark.parametrize("channels", [1, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("taps", [8, 12, 16])
@pytest.mark.parametrize("grad", [True, False])
def test_series_of_few_channels_have_right_results_whatever_the_processor(channels, taps, grad):
    """On processors with AMX, oneDNN 3.12 is wrong where channels times taps are 64, 96, 128, ..."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(shape, generator=generator).bfloat16().float()
        for shape in ((4, channels, 60), (24, channels, taps))
    )
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(grad):
        y = padded_convolution(x, weight, None, *SAME)
    assert close(y, F.conv1d(F.pad(x.double(), (3, 4)), weight.double()))


@pytest.mark.parametrize("gradients_too", [False, True])
def test_what_is_wrong_in_half_precision_is_computed_in_float32(monkeypatch, gradients_too):
    """A convolution that doubles its results, or its gradients, in half precision."""
    real, calls = padded_conv._convolved, []

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, y):
            return y if gradients_too else 2 * y

        @staticmethod
        def backward(_ctx, gradient):
            return 2 * gradient

    def wrong(x, weight, *others):
        y = real(x, weight, *others)
        calls.append(y.dtype)
        return Doubled.apply(y) if y.dtype == torch.bfloat16 else y

    monkeypatch.setattr(padded_conv, "_convolved", wrong)
    x, weight = torch.randn(2, 3, 40, requires_grad=True), torch.randn(4, 3, 8, requires_grad=True)
    bias = torch.randn(4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(3):
            y = padded_convolution(x, weight, bias, *SAME)
    assert y.dtype == torch.float32
    exact = F.conv1d(F.pad(x, (3, 4)), weight, bias)
    torch.testing.assert_close(y, exact)
    mine = torch.autograd.grad(y.sum(), (x, weight, bias))
    for one, other in zip(mine, torch.autograd.grad(exact.sum(), (x, weight, bias)), strict=True):
        torch.testing.assert_close(one, other)
    assert calls == [torch.float32, torch.bfloat16] + 3 * [torch.float32]  # tried once
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = padded_convolution(x, weight, bias, *SAME)
    assert y.dtype == (torch.bfloat16 if gradients_too else torch.float32)


def test_what_is_right_is_computed_in_half_precision_and_draws_nothing():
    before = torch.random.get_rng_state()
    x, weight = torch.ones(2, 3, 41), torch.ones(5, 3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert padded_convolution(x, weight, None, *SAME).dtype == torch.bfloat16
        assert half_precision._agrees.cache_info().misses == 1
        padded_convolution(x, weight, None, *SAME)
        assert half_precision._agrees.cache_info().misses == 1
        padded_convolution(x.repeat(3, 1, 1), weight, None, *SAME)  # it is tried on two samples at most
        assert half_precision._agrees.cache_info().misses == 1
        padded_convolution(x[:, :, :40], weight, None, *SAME)
        assert half_precision._agrees.cache_info().misses == 2
    assert padded_convolution(x, weight, None, *SAME).dtype == torch.float32
    assert half_precision._agrees.cache_info().misses == 2
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64])
@pytest.mark.parametrize("layer", [nn.Conv1d, nn.ConvTranspose1d])
def test_what_autocast_leaves_alone_stays_as_it_is(dtype, layer):
    network = nn.Sequential(layer(3, 4, 5)).to(dtype)
    x = torch.randn(2, 3, 30, dtype=dtype)
    exact = network(x)
    prepare_for_training(network)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(x), exact)


def test_a_network_may_keep_its_memory_by_computing_twice():
    """The check's own tensors must not be counted among those that checkpoints save."""
    network = nn.Sequential(nn.Conv1d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 8, 3))
    prepare_for_training(network)
    x = torch.randn(2, 3, 50, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = checkpoint(network, x, use_reentrant=False)
    (mine,) = torch.autograd.grad(y.float().sum(), x)
    with torch.autocast("cpu", torch.bfloat16):
        (plain,) = torch.autograd.grad(network(x).float().sum(), x)
    assert torch.equal(mine, plain)


def test_the_check_leaves_nothing_in_autocast_s_cache():
    x, weight = torch.ones(2, 8, 40), torch.ones(8, 1, 3)
    alive = []
    real = half_precision.torch.autograd.grad

    def watched(y, leaves, *others):
        alive.extend(weakref.ref(leaf) for leaf in leaves)
        return real(y, leaves, *others)

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(torch.autograd, "grad", watched)
        padded_convolution(x, weight, None, [(1, 1)], (1,), 1, 8)
        gc.collect()
        assert len(alive) == 4 and all(leaf() is None for leaf in alive)


class Causal(nn.Conv1d):
    def forward(self, x):
        return super().forward(F.pad(x, (7, 0)))


@pytest.mark.parametrize("layer", [nn.Conv1d(12, 24, 8, padding="same"), Causal(12, 24, 8)])
@pytest.mark.parametrize("lone", [True, False])
def test_lone_samples_and_subclasses_have_right_results(layer, lone):
    x = torch.randn(3, 12, 60, generator=torch.Generator().manual_seed(0))
    x = x[0] if lone else x
    network = nn.Sequential(layer)
    exact = network(x).detach()
    prepare_for_training(network)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.shape == exact.shape and close(y, exact.double())


@pytest.mark.parametrize("precise", [True, False])
def test_transposed_convolutions_may_be_told_the_size_of_their_output(precise):
    network = nn.ModuleList([nn.ConvTranspose1d(2, 3, 4, stride=3)])
    prepare_for_training(network)
    with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
        assert network[0](torch.randn(2, 2, 10), output_size=[33]).shape == (2, 3, 33)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.ConvTranspose1d(12, 16, 4, stride=4), (3, 12, 40)),
        (nn.ConvTranspose2d(4, 24, 4, stride=4), (2, 4, 9, 9)),
        (nn.Conv1d(12, 24, 8, padding="same", padding_mode="circular"), (4, 12, 60)),
        (nn.Conv2d(8, 24, 8, dilation=(1, 2)), (2, 8, 20, 30)),
    ],
)
def test_other_convolutions_stay_in_float32(module, shape):
    network = nn.Sequential(module, nn.ReLU())
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    exact = network(x)
    expected = torch.autograd.grad(exact.sum(), [x, *network.parameters()])
    prepare_for_training(network)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, exact)
    for one, other in zip(torch.autograd.grad(y.sum(), [x, *network.parameters()]), expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(network(x), exact, rtol=0, atol=0)
