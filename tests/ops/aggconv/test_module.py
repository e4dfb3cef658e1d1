"""AggConv against the explicit weighted sum of torch's own convolutions."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dashdeploy.ops.aggconv import fourier as agg_fourier
from dashdeploy.ops.aggconv import spectrum as agg_spectrum
from dashdeploy.ops.aggconv.cost import Layer, cheapest
from dashdeploy.ops.aggconv.direct import mixed_results, mixed_weights, per_dilation
from dashdeploy.ops.aggconv.fourier import fourier
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.ops.aggconv.module import AggConv1d, AggConv2d
from dashdeploy.ops.aggconv.rates import table_for
from dashdeploy.ops.aggconv.taps import tap_plan
from dashdeploy.ops.aggconv.tiles import smooth_length, whole_lengths
from dashdeploy.ops.conv.frame import Frame, frame_of, same_padding

CPU = torch.device("cpu")

# torch warns once that an even kernel pads one more on one side, which is what is compared with here.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


def explicit_sum(module, x):
    """Equation 1, written with nothing but torch: one padded, dilated convolution per candidate, subsampled."""
    a = module.alpha.flatten().softmax(0)
    total, first = torch.zeros((), dtype=x.dtype), 0
    convolution = (F.conv1d, F.conv2d)[module.rank - 1]
    for i, (k, d) in enumerate(itertools.product(module.kernel_sizes, module.dilations)):
        taps = k**module.rank
        kernel = module.weight[first : first + taps].permute(1, 2, 0).unflatten(2, [k] * module.rank)
        every = convolution(x, kernel, dilation=d, padding="same", groups=module.groups)
        wanted = [slice(None, None, s) for s in module.frame.stride]
        total = total + a[i] * every[(..., *wanted)]
        first += taps
    return total if module.bias is None else total + module.bias.view(-1, *[1] * module.rank)


@st.composite
def problems(draw, rank):
    sizes, far, most = ((1, 12), 31, 3) if rank == 1 else ((1, 6), 9, 2)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    axis = st.integers(1, 90) | st.integers(250, 420) if rank == 1 else st.integers(1, 17)
    channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    if draw(st.booleans()):
        groups, channels = 3, (3, 3)  # depthwise
    return {
        "kernel_sizes": draw(st.lists(st.integers(*sizes), min_size=1, max_size=most + 1, unique=True)),
        "dilations": draw(st.lists(st.integers(1, far), min_size=1, max_size=most, unique=True)),
        "groups": groups,
        "channels": channels,
        "spatial": tuple(draw(axis) for _ in range(rank)),
        "stride": tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank)),
        "batch": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }


def check(method, rank, problem):
    torch.manual_seed(problem["seed"])
    frame = Frame(problem["stride"], (0,) * rank, (0,) * rank)
    module = (AggConv1d, AggConv2d)[rank - 1](
        *problem["channels"],
        problem["kernel_sizes"],
        problem["dilations"],
        groups=problem["groups"],
        bias=problem["bias"],
        method=method,
        frame=frame,
    ).double()
    nn.init.normal_(module.alpha)
    shape = problem["batch"], problem["channels"][0], *problem["spatial"]
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    agree(module(x), explicit_sum(module, x), [x, *module.parameters()])


def agree(y, expected, wanted):
    """Forward and gradients within 1e-9 of the largest value.

    float64 rounds at 1e-16; a transform of some hundred points adds two digits.
    """
    assert y.shape == expected.shape
    assert (y - expected).abs().max() <= 1e-9 * expected.abs().max().clamp(min=1)
    towards = torch.randn_like(y)
    theirs = torch.autograd.grad((expected * towards).sum(), wanted, retain_graph=True)
    ours = torch.autograd.grad((y * towards).sum(), wanted)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).abs().max() <= 1e-9 * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(problem=problems(1))
def test_equals_the_weighted_sum_in_one_dimension(method, problem):
    check(method, 1, problem)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=30, deadline=None)
@given(problem=problems(2))
def test_equals_the_weighted_sum_in_two_dimensions(method, problem):
    check(method, 2, problem)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_all_ways_agree_for_any_frame(data):
    """Causal or centred, padded as 'same', less or more, with every tile length."""
    rank = data.draw(st.sampled_from([1, 1, 2]))
    draw, taps = data.draw, st.integers(1, 9 if rank == 1 else 5)
    kernel_sizes = tuple(draw(st.lists(taps, min_size=1, max_size=3, unique=True)))
    dilations = tuple(draw(st.lists(st.integers(1, 15), min_size=1, max_size=3, unique=True)))
    spatial = tuple(draw(st.integers(2, 70 if rank == 1 else 12)) for _ in range(rank))
    frame = Frame(
        tuple(draw(st.integers(1, 3)) for _ in spatial),
        tuple(draw(st.integers(-1, 3)) for _ in spatial),
        tuple(draw(st.integers(-1, 1)) for _ in spatial),
        causal=draw(st.booleans()),
    )
    torch.manual_seed(draw(st.integers(0, 2**31)))
    rows = sum(k**rank for k in kernel_sizes) * len(dilations)
    weight = torch.randn(rows, 4, 3, dtype=torch.double, requires_grad=True)
    a = torch.randn(len(kernel_sizes) * len(dilations), dtype=torch.double, requires_grad=True)
    x = torch.randn(2, 3, *spatial, dtype=torch.double, requires_grad=True)
    expected = mixed_results(x, weight, a, kernel_sizes, dilations, frame, 1)
    plan = tap_plan(kernel_sizes, dilations, frame, spatial, CPU)
    agree(mixed_weights(x, weight, a, plan, frame, 1), expected, [x, weight, a])
    agree(per_dilation(x, weight, a, plan, frame, 1), expected, [x, weight, a])
    agree(fourier(x, weight, a, plan, frame, 1), expected, [x, weight, a])
    if rank == 1:
        field = plan.high[0] - plan.low[0] + 1
        tile = draw(st.sampled_from([field, field + 5, 2 * field + 3, whole_lengths(plan, frame)[0]]))
        agree(fourier(x, weight, a, plan, frame, 1, tile), expected, [x, weight, a])


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    ("where", "spared"),
    [
        (agg_fourier, "KEPT_SPECTRUM"),
        (agg_spectrum, "LARGEST_TABLE"),
        (agg_spectrum, "COLUMNS_BY_FFT"),
        (agg_fourier, "CACHED_RESPONSES"),
    ],
)
def test_what_spares_memory_or_time_changes_nothing(monkeypatch, where, spared, rank):
    module = (AggConv1d, AggConv2d)[rank - 1](4, 6, [3, 6], [1, 7], groups=2, method="fourier").double()
    x = torch.randn(2, 4, *[60, 17][:rank], dtype=torch.double, requires_grad=True)
    expected = explicit_sum(module, x)
    monkeypatch.setattr(where, spared, 1)
    agree(module(x), expected, [x, *module.parameters()])


@pytest.mark.parametrize("method", METHODS)
def test_single_precision_is_as_accurate_as_a_convolution(method):
    torch.manual_seed(0)
    module = AggConv1d(8, 8, [3, 5, 7, 9], [1, 3, 7, 15], method=method)
    for n in (40, 500):  # in one piece and in tiles
        x = torch.randn(4, 8, n)
        exact = explicit_sum(module.double(), x.double())
        assert (module.float()(x) - exact).abs().max() <= 2e-6 * exact.abs().max()


def test_half_precision_is_computed_wide_where_spectra_are():
    torch.manual_seed(0)
    module = AggConv1d(8, 8, [3, 9], [1, 15], method="fourier")
    x = torch.randn(4, 8, 100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x.bfloat16())
    exact = explicit_sum(module, x)
    assert y.dtype == torch.bfloat16
    assert (y - exact).abs().max() <= 0.02 * exact.abs().max()  # bfloat16 keeps 8 bits


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


@pytest.mark.parametrize(
    ("conv", "causal"),
    [
        (nn.Conv1d(2, 3, 5, padding=2), False),
        (nn.Conv1d(2, 3, 8, padding="same"), False),
        (nn.Conv1d(2, 3, 5, stride=2, padding=2, bias=False), False),
        (nn.Conv1d(2, 3, 4, padding=2), False),  # one output more than inputs
        (nn.Conv1d(2, 3, 5, dilation=3), False),  # fewer outputs than inputs
        (nn.Conv1d(2, 3, 5, dilation=3), True),
        (nn.Conv1d(2, 4, 3, padding=8, dilation=4, groups=2), True),  # chomped later
        (nn.Conv2d(2, 3, 3, stride=2, padding=1), False),
        (nn.Conv2d(2, 3, 4, padding="same", dilation=3), False),
    ],
    ids=str,
)
def test_the_convolution_it_replaces_is_one_of_its_candidates(conv, causal):
    cls = AggConv1d if isinstance(conv, nn.Conv1d) else AggConv2d
    k, d = conv.kernel_size[0], conv.dilation[0]
    module = cls.replacing(conv, [k, k + 2], [d], causal=causal)
    with torch.no_grad():
        module.alpha[1, 0] = -1e4
        module.alpha[0, 0] = 1e4
        module.weight[: k**module.rank] = conv.weight.flatten(2).permute(2, 0, 1)
    x = torch.randn(2, 2, *[31, 23][: module.rank])
    torch.testing.assert_close(module(x), conv(x), rtol=1e-5, atol=1e-5)


def test_separable_mixes_depthwise_where_channels_are_equal():
    assert AggConv1d.replacing(nn.Conv1d(6, 6, 3), [3], [1], separable=True).weight.shape == (3, 6, 1)
    assert AggConv1d.replacing(nn.Conv1d(6, 4, 3), [3], [1], separable=True).weight.shape == (3, 4, 6)


def test_works_after_its_tables_were_made_in_inference_mode():
    module = AggConv1d(2, 2, [3, 4], [1, 6], method="fourier")
    x = torch.randn(1, 2, 23)
    with torch.inference_mode():
        module(x)
    module(x).sum().backward()
    assert module.alpha.grad is not None


def test_taps_beyond_the_input_are_left_out():
    plan = tap_plan((9,), (15,), Frame.same(1), (32,), CPU)
    assert [o for (o,) in plan.distances] == [-30, -15, 0, 15, 30]
    # 62 = 32 + 30 positions matter, where the whole field of 121 would need 152.
    assert whole_lengths(plan, Frame.same(1)) == (64,)


def test_kernels_of_one_dilation_share_a_box():
    plan = tap_plan((3, 5, 7), (1, 4), Frame.same(1), (100,), CPU)
    assert [(box.dilation, box.shape, box.low) for box in plan.boxes] == [(1, (7,), (-3,)), (4, (7,), (-12,))]
    plan = tap_plan((3, 4), (3,), Frame.same(1), (100,), CPU)  # the even kernel's taps lie between
    assert [(box.low, box.shape) for box in plan.boxes] == [((-3,), (3,)), ((-4,), (4,))]


@pytest.mark.parametrize(
    ("space", "spatial", "channels", "expected"),
    [
        (((3,), (1,)), (1000,), 32, "per-dilation"),
        (((3, 5, 7, 9), (1, 3, 7, 15)), (1000,), 32, "fourier"),
        (((3, 5, 7, 9), (1, 3, 7, 15)), (32, 32), 16, "fourier"),
    ],
)
def test_auto_takes_what_costs_least(space, spatial, channels, expected):
    frame = Frame.same(len(spatial))
    plan = tap_plan(*space, frame, spatial, CPU)
    assert cheapest(Layer(plan, frame, 8, channels, channels, 1, table_for("cpu")))[0] == expected


def test_keeps_channels_groups_and_bias_of_the_convolution_it_replaces():
    conv = nn.Conv1d(6, 4, 5, groups=2)
    module = AggConv1d.replacing(conv, [3, 5], [1, 2])
    assert module.weight.shape == (2 * (3 + 5), 4, 3)
    assert torch.equal(module.bias, conv.bias)
    assert AggConv1d.replacing(nn.Conv1d(6, 4, 5, bias=False), [3], [1]).bias is None


def test_frames_of_convolutions():
    assert frame_of(nn.Conv1d(1, 1, 8, padding="same")) == Frame.same(1)
    assert frame_of(nn.Conv2d(1, 1, 3, padding=1, stride=2)) == Frame((2, 2), (0, 0), (0, 0))
    assert frame_of(nn.Conv1d(1, 1, 3, dilation=2), causal=True) == Frame((1,), (-4,), (4,), causal=True)


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
