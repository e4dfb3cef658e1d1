"""AggConv against the explicit weighted sum of torch's own convolutions."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dashdeploy.ops.agg_conv import METHODS, AggConv1d, same_padding, smooth_length, tap_plan


def explicit_sum(module: AggConv1d, x: torch.Tensor, padding: str = "same") -> torch.Tensor:
    """Equation 1, written with nothing but torch: one padded, dilated convolution per candidate."""
    a = module.alpha.flatten().softmax(0)
    total, first = torch.zeros((), dtype=x.dtype), 0
    for i, (k, d) in enumerate(itertools.product(module.kernel_sizes, module.dilations)):
        kernel = module.weight[first : first + k].permute(1, 2, 0)
        total = total + a[i] * F.conv1d(x, kernel, dilation=d, padding=padding, groups=module.groups)
        first += k
    return total if module.bias is None else total + module.bias[:, None]


@st.composite
def problems(draw):
    kernel_sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True))
    dilations = draw(st.lists(st.integers(1, 31), min_size=1, max_size=3, unique=True))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    return {
        "kernel_sizes": kernel_sizes,
        "dilations": dilations,
        "groups": groups,
        "channels": channels,
        "n": draw(st.integers(1, 90) | st.integers(250, 420)),
        "batch": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_equals_the_weighted_sum_of_convolutions_forward_and_backward(method, problem):
    torch.manual_seed(problem["seed"])
    module = AggConv1d(
        *problem["channels"],
        problem["kernel_sizes"],
        problem["dilations"],
        groups=problem["groups"],
        bias=problem["bias"],
        method=method,
    ).double()
    nn.init.normal_(module.alpha)
    x = torch.randn(
        problem["batch"], problem["channels"][0], problem["n"], dtype=torch.double, requires_grad=True
    )
    expected = explicit_sum(module, x)
    y = module(x)
    assert y.shape == expected.shape == (problem["batch"], problem["channels"][1], problem["n"])
    # 1e-9 of the largest value: float64 rounds at 1e-16, a transform of some hundred points adds two digits.
    assert (y - expected).abs().max() <= 1e-9 * expected.abs().max().clamp(min=1)
    towards = torch.randn_like(y)
    wanted = [x, *module.parameters()]
    theirs = torch.autograd.grad((expected * towards).sum(), wanted)
    ours = torch.autograd.grad((y * towards).sum(), wanted)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).abs().max() <= 1e-9 * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_is_as_accurate_as_a_convolution(method):
    torch.manual_seed(0)
    module = AggConv1d(8, 8, [3, 5, 7, 9], [1, 3, 7, 15], method=method)
    for n in (40, 500):  # the dense DFT and the FFT
        x = torch.randn(4, 8, n)
        exact = explicit_sum(module.double(), x.double())
        assert (module.float()(x) - exact).abs().max() <= 2e-6 * exact.abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_one_certain_candidate_is_that_convolution(method):
    torch.manual_seed(0)
    module = AggConv1d(3, 4, [2, 5], [1, 4], method=method).double()
    with torch.no_grad():
        module.alpha.fill_(-1e3)
        module.alpha[0, 1] = 1e3  # kernel size 2, dilation 4: even, so padded 2 left and 2 right
    assert module.best() == (2, 4)
    conv = nn.Conv1d(3, 4, 2, dilation=4, padding="same").double()
    conv.weight.data = module.weight.data[2:4].permute(1, 2, 0)
    conv.bias.data = module.bias.data
    x = torch.randn(2, 3, 17, dtype=torch.double)
    torch.testing.assert_close(module(x), conv(x), rtol=0, atol=1e-12)


def test_works_after_its_tables_were_made_in_inference_mode():
    module = AggConv1d(2, 2, [3, 4], [1, 6])
    x = torch.randn(1, 2, 23)
    with torch.inference_mode():
        module(x)
    module(x).sum().backward()
    assert module.alpha.grad is not None


def test_taps_beyond_the_input_are_left_out():
    plan = tap_plan((9,), (15,), 32, torch.device("cpu"))
    assert plan.distance.tolist() == [-30, -15, 0, 15, 30]
    assert (plan.left, plan.right, plan.crops) == (30, 30, True)


def test_keeps_channels_groups_and_bias_of_the_convolution_it_replaces():
    conv = nn.Conv1d(6, 4, 5, groups=2)
    module = AggConv1d.replacing(conv, [3, 5], [1, 2])
    assert module.weight.shape == (2 * (3 + 5), 4, 3)
    assert torch.equal(module.bias, conv.bias)
    assert AggConv1d.replacing(nn.Conv1d(6, 4, 5, bias=False), [3], [1]).bias is None


def test_coefficients_start_nearly_uniform_and_add_up_to_one():
    a = AggConv1d(1, 1, [3, 5], [1, 2]).coefficients()
    assert a.sum().item() == pytest.approx(1, abs=1e-6)
    assert (a - 0.25).abs().max() < 2e-3


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "padding"), [(3, 1, (1, 1)), (8, 1, (3, 4)), (8, 3, (10, 11)), (1, 9, (0, 0))]
)
def test_same_padding_is_torch_s(kernel_size, dilation, padding):
    assert same_padding(kernel_size, dilation) == padding


def test_fft_lengths_have_no_prime_factor_beyond_five():
    assert [smooth_length(n) for n in (1, 7, 11, 79, 121, 1001)] == [1, 8, 12, 80, 125, 1024]
