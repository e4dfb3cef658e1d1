"""The convolution that takes another's place: plain where torch has its padding, and always of the same size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from dashdeploy.ops.aggconv.module import AggConv1d, AggConv2d
from dashdeploy.ops.conv.padded_conv import PaddedConv1d, PaddedConv2d, has_weight_norm, with_kernel


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_computes_what_a_certain_agg_conv_does(data):
    """Any padding, stride and alignment: the one candidate of an AggConv is the convolution that is built."""
    draw = data.draw
    rank = draw(st.sampled_from([1, 2]))
    groups = draw(st.sampled_from([1, 2]))
    original = (nn.Conv1d if rank == 1 else nn.Conv2d)(
        2 * groups,
        groups,
        draw(st.integers(1, 5)),
        stride=draw(st.integers(1, 3)),
        padding=draw(st.integers(0, 4)),
        dilation=draw(st.integers(1, 3)),
        groups=groups,
        bias=draw(st.booleans()),
    )
    k, d = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    causal = rank == 1 and draw(st.booleans())
    torch.manual_seed(0)
    mixed = (AggConv1d if rank == 1 else AggConv2d).replacing(original, [k], [d], causal=causal).double()
    built = with_kernel(original, k, d, causal=causal).double()
    with torch.no_grad():
        built.weight.copy_(mixed.weight.permute(1, 2, 0).reshape(built.weight.shape))
        if built.bias is not None:
            built.bias.copy_(mixed.bias)
    x = torch.randn(2, 2 * groups, *[19, 14][:rank], dtype=torch.double)
    expected = original.double()(x).shape
    assert built(x).shape == expected
    torch.testing.assert_close(built(x), mixed(x), rtol=0, atol=1e-12)


def test_is_plain_torch_wherever_torch_has_the_padding():
    same = with_kernel(nn.Conv1d(2, 2, 3, padding=1), 8, 3)
    assert (type(same), same.padding) == (nn.Conv1d, "same")
    strided = with_kernel(nn.Conv2d(2, 2, 3, padding=1, stride=2), 7, 3)
    assert (type(strided), strided.padding) == (nn.Conv2d, (9, 9))
    chomped = with_kernel(nn.Conv1d(2, 2, 3, padding=2), 5, 4, causal=True)
    assert (type(chomped), chomped.sides) == (PaddedConv1d, [16, 2])  # what is cut off later stays the same
    assert type(with_kernel(nn.Conv2d(2, 2, 3, padding=1, stride=2), 4, 3)) is PaddedConv2d


def test_weight_norm_stays():
    for norm in (parametrizations.weight_norm, nn.utils.weight_norm):
        conv = norm(nn.Conv1d(2, 2, 3, padding=1))
        assert has_weight_norm(conv)
        assert has_weight_norm(with_kernel(conv, 5, 1))
    assert not has_weight_norm(nn.Conv1d(2, 2, 3))
    assert not has_weight_norm(parametrizations.spectral_norm(nn.Conv1d(2, 2, 3)))


@pytest.mark.parametrize("sides", [(5, 0), (-2, 3), (0, -1)])
def test_a_negative_side_crops(sides):
    conv = PaddedConv1d(1, 1, 1, bias=False)
    conv.sides = list(sides)
    nn.init.ones_(conv.weight)
    x = torch.arange(1.0, 8).view(1, 1, 7)
    torch.testing.assert_close(conv(x), nn.functional.pad(x, sides))
