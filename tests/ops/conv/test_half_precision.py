"""Shapes for which half precision is wrong are computed in float32."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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
        padded_convolution(x[:1], weight, None, *SAME)  # the last batch is another shape
        assert half_precision._agrees.cache_info().misses == 2
    assert padded_convolution(x, weight, None, *SAME).dtype == torch.float32
    assert half_precision._agrees.cache_info().misses == 2
    assert torch.equal(before, torch.random.get_rng_state())


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
