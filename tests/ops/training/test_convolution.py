"""Convolutions in training are torch's convolutions, in whatever form they are computed."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from dashdeploy.ops.aggconv.rates import AVX512, NARROW
from dashdeploy.ops.training import convolution
from dashdeploy.ops.training.convolution import computation, trained_convolution
from dashdeploy.ops.training.prepare import prepare_for_training


def gradients(compute, *tensors):
    """The result and the gradients of a sum of it with weights that differ."""
    here = [each.clone().requires_grad_() for each in tensors]
    y = compute(*here)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), here)]


def torch_s(x, weight, bias, pads, dilation):
    """Torch's convolution, by a way of its own: padded (or cropped) first."""
    padded = nn.functional.pad(x, [side for pair in reversed(pads) for side in pair])
    convolve = (nn.functional.conv1d, nn.functional.conv2d)[len(pads) - 1]
    return convolve(padded, weight, bias, 1, 0, dilation)


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["taps", "fourier"]),
    rank=st.sampled_from([1, 2]),
    extents=st.tuples(st.integers(1, 24), st.integers(1, 9)),
    kernel=st.integers(1, 9),
    dilation=st.integers(1, 5),
    sides=st.tuples(st.integers(-2, 20), st.integers(-2, 20)),
    bias=st.booleans(),
    seed=st.integers(0, 999),
)
def test_each_form_is_torch_s_convolution_in_double(form, rank, extents, kernel, dilation, sides, bias, seed):
    rank = 1 if form == "taps" else rank  # tap by tap is for series alone
    spatial, pads = extents[:rank], (sides,) * rank
    assume(min(spatial) + sum(sides) >= dilation * (kernel - 1) + 1)
    assume(min(spatial) + min(sides) > 0)
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        torch.randn(shape, generator=generator, dtype=torch.double)
        for shape in ((2, 3, *spatial), (4, 3, *[kernel] * rank), (4,))
    ]
    if not bias:
        tensors.pop()
    plan = convolution._plan(spatial, (kernel,) * rank, pads, dilation)[1]
    assume(form == "taps" or plan.distances)

    def mine(x, weight, added=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolution, "computation", lambda *_: (form, 0))
            return trained_convolution(x, weight, added, pads, (1,) * rank, dilation, 1)

    expected = gradients(lambda x, w, b=None: torch_s(x, w, b, pads, dilation), *tensors)
    for here, there in zip(gradients(mine, *tensors), expected, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("tile", [0, 64, 192])
@pytest.mark.parametrize(("kernel", "dilation"), [(9, 3), (8, 1), (9, 1)])
def test_single_precision_differs_by_rounding(monkeypatch, tile, kernel, dilation):
    """Against double precision: at most 4e-6 of the largest value, where torch has up to 1e-6."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, 500, generator=generator)
    weight = torch.randn(8, 8, kernel, generator=generator)
    span = dilation * (kernel - 1)
    pads = ((span // 2, span - span // 2),)
    exact = gradients(lambda x, w: torch_s(x, w, None, pads, dilation), x.double(), weight.double())
    for form in ("taps", "fourier"):
        monkeypatch.setattr(convolution, "computation", lambda *_, form=form: (form, tile))
        mine = gradients(lambda x, w: trained_convolution(x, w, None, pads, (1,), dilation, 1), x, weight)
        for here, there in zip(mine, exact, strict=True):
            assert (here - there).abs().max() <= 4e-6 * there.abs().max()


def choice(kernel, dilation, *, channels=48, batch=10, spatial=(2000,)):
    span = dilation * (kernel - 1)
    rank = len(spatial)
    return computation(
        batch,
        channels,
        channels,
        spatial,
        (kernel,) * rank,
        ((span // 2, span - span // 2),) * rank,
        dilation,
    )[0]


def test_the_forms_that_were_measured_to_be_quickest_are_chosen(monkeypatch):
    """Without AVX-512; docs/decisions.md has the times."""
    monkeypatch.setattr(convolution, "table_for", lambda _: NARROW)
    computation.cache_clear()
    try:
        assert [choice(3, 1), choice(5, 1), choice(1, 1)] == ["torch"] * 3
        assert [choice(8, 1), choice(9, 1), choice(15, 1)] == ["fourier"] * 3
        assert choice(9, 3) == "fourier"
        assert [choice(7, 15), choice(5, 15)] == ["taps"] * 2
        assert choice(3, 3) == "torch"  # spans little
        assert choice(9, 3, channels=4, batch=2, spatial=(50,)) == "torch"  # calls are most
        assert choice(9, 3, channels=16, batch=32, spatial=(32, 32)) == "fourier"
        assert choice(3, 3, channels=16, batch=32, spatial=(32, 32)) == "torch"
        monkeypatch.setattr(convolution, "table_for", lambda _: AVX512)
        computation.cache_clear()
        assert [choice(k, d) for k in (3, 5, 7, 8, 9) for d in (1, 3, 7)] == ["torch"] * 15
    finally:
        computation.cache_clear()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(8, 8, 9, padding="same", dilation=3, groups=2),
        nn.Conv1d(8, 8, 9, padding=12, dilation=3, stride=2),
        nn.Conv1d(8, 8, 9, padding="same", dilation=3, padding_mode="circular"),
        nn.Conv2d(8, 8, (1, 9), padding="same"),
    ],
)
def test_what_a_form_is_not_for_goes_torch_s_way(monkeypatch, conv):
    monkeypatch.setattr(convolution, "computation", lambda *_: pytest.fail("asked for a form"))
    other, x = copy.deepcopy(conv), torch.randn(2, 8, *[60] * (conv.weight.dim() - 2))
    prepare_for_training(other)
    for here, there in zip(gradients(other, x), gradients(conv, x), strict=True):
        torch.testing.assert_close(here, there)


def test_evaluation_and_half_precision_go_torch_s_way(monkeypatch):
    conv = nn.Conv1d(8, 8, 9, padding="same", dilation=3)
    prepare_for_training(conv)
    monkeypatch.setattr(convolution, "computation", lambda *_: pytest.fail("asked for a form"))
    x = torch.randn(2, 8, 60)
    with torch.no_grad():
        conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16


def test_a_network_keeps_its_state_and_can_be_exported_anew():
    network = nn.Sequential(nn.Conv1d(1, 4, 9, padding="same", dilation=3), nn.BatchNorm1d(4))
    names = list(network.state_dict())
    prepare_for_training(network)
    assert list(network.state_dict()) == names
    plain = nn.Sequential(nn.Conv1d(1, 4, 9, padding="same", dilation=3), nn.BatchNorm1d(4))
    plain.load_state_dict(network.state_dict())
    assert [type(each) for each in network] == [type(each) for each in plain]
