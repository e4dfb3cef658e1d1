"""Convolutions without their dead taps are the same convolutions."""

import copy

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from dashdeploy.ops.conv.live_taps import skip_dead_taps
from dashdeploy.ops.conv.padded_conv import with_kernel


def assert_same(conv, x):
    other = copy.deepcopy(conv)
    skip_dead_taps(other)
    results = []
    for module in (conv, other):
        here = x.clone().requires_grad_()
        y = module(here)
        y.mul(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        results.append([y.detach(), here.grad, *(p.grad for p in module.parameters())])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-12, atol=1e-12)
    return other


@settings(max_examples=150, deadline=None)
@given(
    rank=st.sampled_from([1, 2]),
    extents=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.integers(1, 9),
    dilation=st.integers(1, 15),
    stride=st.integers(1, 3),
    padding=st.one_of(st.sampled_from(["same", "valid"]), st.integers(0, 20)),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    seed=st.integers(0, 999),
)
def test_it_is_torch_s_convolution(rank, extents, kernel, dilation, stride, padding, groups, bias, seed):
    torch.manual_seed(seed)
    spatial = extents[:rank]
    if padding == "same":
        stride = 1
    else:
        room = 0 if padding == "valid" else 2 * padding
        assume(min(spatial) + room >= dilation * (kernel - 1) + 1)
    cls = (nn.Conv1d, nn.Conv2d)[rank - 1]
    conv = cls(4, 6, kernel, stride, padding, dilation, groups, bias).double()
    assert_same(conv, torch.randn(2, 4, *spatial, dtype=torch.double))


@settings(max_examples=100, deadline=None)
@given(
    rank=st.sampled_from([1, 2]),
    extent=st.integers(1, 20),
    kernel=st.integers(1, 9),
    dilation=st.integers(1, 15),
    stride=st.integers(1, 3),
    causal=st.booleans(),
    seed=st.integers(0, 999),
)
def test_it_is_the_one_with_a_found_kernel(rank, extent, kernel, dilation, stride, causal, seed):
    torch.manual_seed(seed)
    original = (nn.Conv1d, nn.Conv2d)[rank - 1](3, 4, 3, stride, 1)
    conv = with_kernel(original, kernel, dilation, causal=causal).double()
    assert_same(conv, torch.randn(2, 3, *[extent] * rank, dtype=torch.double))


def test_the_taps_are_really_left_out(monkeypatch):
    conv = nn.Conv2d(2, 3, 9, padding="same", dilation=15)
    skip_dead_taps(conv)
    shapes = []
    real = nn.functional.conv2d
    monkeypatch.setattr(
        "dashdeploy.ops.conv.padded_conv.CONVOLUTIONS",
        (None, lambda x, weight, *rest: shapes.append(tuple(weight.shape)) or real(x, weight, *rest)),
    )
    conv(torch.randn(1, 2, 8, 43))
    assert shapes == [(3, 2, 1, 5)]


def test_weight_norm_stays():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 9, padding="same", dilation=7)).double()
    other = assert_same(conv, torch.randn(2, 2, 10, dtype=torch.double))
    assert set(other.state_dict()) == set(conv.state_dict())


class Standardized(nn.Conv1d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean((1, 2), keepdim=True), bias)


def test_what_computes_in_a_way_of_its_own_is_left_alone():
    x = torch.randn(2, 2, 8)
    standardized = Standardized(2, 3, 9, padding="same", dilation=15)
    changed = nn.Conv1d(2, 3, 9, padding="same", dilation=15)
    changed.forward = lambda x: 0 * x
    for conv in (standardized, changed):
        expected = conv(x)
        skip_dead_taps(conv)
        torch.testing.assert_close(conv(x), expected)


def test_a_copy_has_weights_of_its_own():
    conv = nn.Conv1d(2, 3, 9, padding="same", dilation=15)
    skip_dead_taps(conv)
    other = copy.deepcopy(conv)
    nn.init.zeros_(other.weight)
    nn.init.zeros_(other.bias)
    x = torch.randn(2, 2, 8)
    assert not other(x).any() and conv(x).any()


def test_half_precision_stays():
    conv = nn.Conv1d(2, 3, 9, padding="same", dilation=7)
    x, other = torch.randn(2, 2, 10), copy.deepcopy(conv)
    skip_dead_taps(other)
    with torch.autocast("cpu", torch.bfloat16):
        assert other(x).dtype == torch.bfloat16
        torch.testing.assert_close(other(x), conv(x), rtol=0.02, atol=0.02)


def test_a_lone_sample_and_what_is_not_for_it_are_left_alone():
    conv = nn.Conv1d(2, 3, 9, padding="same", dilation=7)
    expected = conv(torch.ones(2, 4))
    skip_dead_taps(conv)
    torch.testing.assert_close(conv(torch.ones(2, 4)), expected)
    circular = nn.Conv1d(2, 3, 9, padding=8, dilation=2, padding_mode="circular")
    uneven = nn.Conv2d(2, 3, 3, padding=(3, 6), dilation=(3, 6))
    skip_dead_taps(nn.Sequential(circular, uneven))
    assert "forward" not in vars(circular) and "forward" not in vars(uneven)
