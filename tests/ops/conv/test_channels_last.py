"""Convolutions in half precision on a CPU compute the same with the channels last."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dashdeploy.ops.conv.channels_last import as_image, is_channels_last_series, prefers_channels_last
from dashdeploy.ops.conv.padded_conv import padded_convolution
from dashdeploy.ops.training.prepare import prepare_for_training

HALF = 2.0**-8
"""Relative error of rounding a number to bfloat16."""


def reference(x, weight, bias, pads, stride, dilation, groups):
    """In double precision, padded and cropped by torch's padding alone."""
    sides = [side for pair in reversed(pads) for side in pair]
    convolve = F.conv1d if weight.dim() == 3 else F.conv2d
    return convolve(F.pad(x, sides), weight, bias, tuple(stride), 0, dilation, groups)


@settings(max_examples=80, deadline=None)
@given(
    rank=st.sampled_from([1, 2]),
    channels=st.sampled_from([(1, 3, 1), (4, 4, 1), (5, 2, 1), (6, 4, 2), (6, 6, 6)]),
    kernel=st.integers(1, 5),
    dilation=st.sampled_from([1, 2, 5]),
    stride=st.sampled_from([1, 2]),
    before=st.integers(0, 6),
    after=st.integers(-1, 6),
    bias=st.booleans(),
    first=st.booleans(),
    seed=st.integers(0, 999),
)
def test_results_and_gradients_are_those_of_double_precision_but_for_rounding(
    rank, channels, kernel, dilation, stride, before, after, bias, first, seed
):
    ins, outs, groups = channels
    generator = torch.Generator().manual_seed(seed)
    spatial = (30,) if rank == 1 else (22, 23)

    def random(*shape):
        # Numbers of bfloat16, so that only products' sums and results are rounded.
        return torch.randn(shape, generator=generator).bfloat16().float()

    x = random(3, ins, *spatial)
    if not first:
        x = as_image(x).squeeze(2) if rank == 1 else as_image(x)
    x, weight = x.requires_grad_(), random(outs, ins // groups, *[kernel] * rank).requires_grad_()
    shift = random(outs).requires_grad_() if bias else None
    how = ([(before, after)] * rank, (stride,) * rank, dilation, groups)
    leaves = [leaf for leaf in (x, weight, shift) if leaf is not None]
    with torch.autocast("cpu", torch.bfloat16):
        y = padded_convolution(x, weight, shift, *how)
    assert y.dtype == torch.bfloat16
    weights = random(*y.shape)
    gradients = torch.autograd.grad(y, leaves, weights.bfloat16())

    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    there = reference(*exact[:2], exact[2] if bias else None, *how)
    expected = torch.autograd.grad(there, exact, weights.double())
    sizes = [leaf.detach().double().abs().requires_grad_() for leaf in leaves]
    terms = reference(*sizes[:2], sizes[2] if bias else None, *how)
    bounds = torch.autograd.grad(terms, sizes, weights.double().abs())
    for mine, exactly, bound in zip((y, *gradients), (there, *expected), (terms, *bounds), strict=True):
        assert mine.shape == exactly.shape
        assert ((mine.double() - exactly).abs() <= 2 * HALF * bound.abs() + 1e-12).all()


def test_a_network_s_series_keep_their_layout_and_its_statistics():
    def made():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv1d(1, 8, 9, padding="same"),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Conv1d(8, 8, 4),
            nn.BatchNorm1d(8),
        )

    x, plain, prepared = torch.randn(4, 1, 600), made().double(), made()
    prepare_for_training(prepared)
    with torch.autocast("cpu", torch.bfloat16):
        y = prepared(x)
    exact = plain(x.double())
    assert is_channels_last_series(y)
    assert (y.double() - exact).abs().max() < 0.1  # of numbers of variance 1: a dozen roundings to bfloat16
    for mine, theirs in zip(prepared.buffers(), plain.buffers(), strict=True):
        assert torch.allclose(mine.double(), theirs.double(), rtol=0.02, atol=0.002)
    (y.float() ** 2).mean().backward()
    (exact**2).mean().backward()
    for mine, theirs in zip(prepared.parameters(), plain.parameters(), strict=True):
        assert mine.grad.dtype == torch.float32
        assert mine.grad.stride() == mine.stride()  # the optimizer takes them all in one pass
        assert (mine.grad - theirs.grad).abs().max() < 0.02


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("tracked", [True, False])
def test_batch_norms_of_series_count_their_batches_as_torch_does(momentum, tracked):
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(6, momentum=momentum, track_running_stats=tracked)
    other = nn.BatchNorm1d(6, momentum=momentum, track_running_stats=tracked)
    prepare_for_training(other)
    for _ in range(3):
        x = torch.randn(5, 6, 40) * 3 + 1
        assert torch.allclose(norm(x), other(as_image(x).squeeze(2)), atol=1e-5)
    for mine, theirs in zip(other.buffers(), norm.buffers(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    norm.eval()
    other.eval()
    assert torch.allclose(norm(x), other(x), atol=1e-5)


def test_only_what_gains_by_it_changes_its_layout():
    series, weight = torch.randn(2, 16, 100), torch.randn(16, 16, 3)
    assert not prefers_channels_last(series, weight, 1)  # float32
    with torch.autocast("cpu", torch.bfloat16):
        assert prefers_channels_last(series, weight, 1)
        assert not prefers_channels_last(series, torch.randn(16, 1, 3), 16)  # depthwise
        assert prefers_channels_last(torch.randn(2, 16, 9, 9), torch.randn(16, 1, 3, 3), 16)
        assert not prefers_channels_last(series[:, :, :20], weight, 1)  # 768 weights, 1280 numbers in and out
        assert not prefers_channels_last(series[0], weight, 1)  # a lone sample
        with torch.no_grad():
            assert not prefers_channels_last(series, weight, 1)  # no gradients are taken
