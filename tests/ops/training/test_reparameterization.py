"""Convolutions that learn as branches compute the sum of these branches, and are one kernel afterwards."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from dashdeploy.backbones.build import build_backbone
from dashdeploy.ops.conv.padded_conv import PaddedConv1d
from dashdeploy.ops.training.prepare import prepare_for_training
from dashdeploy.ops.training.reparameterization import merge, reparameterize


def branches_of(conv):
    return conv.parametrizations["weight"][0]


def each_channel_s(weight):
    """The length of each output channel's kernel, as a column."""
    return weight.flatten(1).square().sum(1).sqrt().view(-1, *[1] * (weight.dim() - 1))


@settings(max_examples=80, deadline=None)
@given(
    rank=st.sampled_from([1, 2]),
    kernel=st.integers(2, 9),
    dilation=st.integers(1, 4),
    channels=st.sampled_from([(3, 3), (3, 5), (1, 1), (4, 2)]),
    bias=st.booleans(),
    seed=st.integers(0, 999),
)
def test_the_branches_are_added_at_the_output_s_own_position(rank, kernel, dilation, channels, bias, seed):
    torch.manual_seed(seed)
    inputs, outputs = channels
    cls, convolve = ((nn.Conv1d, F.conv1d), (nn.Conv2d, F.conv2d))[rank - 1]
    conv = cls(inputs, outputs, kernel, padding="same", dilation=dilation, bias=bias).double()
    w, b = conv.weight.detach().clone(), None if conv.bias is None else conv.bias.detach().clone()
    reparameterize(conv)
    branches = branches_of(conv)
    with torch.no_grad():
        for each in branches.parameters():
            each.copy_(torch.randn_like(each))
    x = torch.randn(2, inputs, *(12, 9)[:rank], dtype=torch.double)
    before = dilation * (kernel - 1) // 2
    after = dilation * (kernel - 1) - before
    padded = F.pad(x, [before, after] * rank)
    expected = convolve(padded, branches.scale * w / each_channel_s(w), b, 1, 0, dilation)
    # With an even kernel and dilation the own position may lie between two taps; the one before it reads earlier.
    late = before % dilation
    x_read = F.pad(x, [late, -late] * rank)
    expected = expected + convolve(
        x_read, branches.single_scale * branches.single / each_channel_s(branches.single)
    )
    if inputs == outputs:
        expected = expected + branches.own_scale.view(-1, *[1] * rank) * x_read
    torch.testing.assert_close(conv(x), expected, rtol=1e-10, atol=1e-10)
    trained = conv(x).detach()
    merge(conv)
    assert [name for name, _ in conv.named_parameters()] == (["bias", "weight"] if bias else ["weight"])
    assert type(conv) is cls
    torch.testing.assert_close(conv(x), trained, rtol=0, atol=0)


def test_kernels_start_as_long_as_they_were_and_apart_from_each_other():
    torch.manual_seed(0)
    network = build_backbone("resnet1d", {"in_channels": 2, "outputs": 3, "width": 32}).double()
    plain = {
        name: each_channel_s(weight) for name, weight in network.state_dict().items() if weight.dim() == 3
    }
    reparameterize(network)
    convs = {f"{name}.weight": conv for name, conv in network.named_modules() if isinstance(conv, nn.Conv1d)}
    changed = [name for name, conv in convs.items() if hasattr(conv, "parametrizations")]
    assert changed == [f"blocks.{block}.convs.{i}.weight" for block in range(3) for i in range(3)]
    for name in changed:
        # Random kernels are at right angles but for chance, so that squares of lengths add up.
        share = each_channel_s(convs[name].weight.detach()) / plain[name]
        assert share.mean().item() == pytest.approx(1, abs=0.05)
    firsts = [convs[name].parametrizations["weight"][0].single for name in changed[3:5]]
    assert not torch.equal(firsts[0][:, :8], firsts[1][:, :8])


def test_a_trained_network_is_the_merged_one():
    torch.manual_seed(0)
    plain = build_backbone("resnet1d", {"in_channels": 1, "outputs": 2, "width": 8})
    names = set(plain.state_dict())
    network = copy.deepcopy(plain)
    reparameterize(network)
    prepare_for_training(network)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    x, y = torch.randn(16, 1, 40), torch.arange(16) % 2
    before = network.blocks[1].convs[0].weight.detach().clone()
    for _ in range(3):
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in network.parameters())
    assert not torch.allclose(before, network.blocks[1].convs[0].weight)
    trained = network.eval()(x).detach()
    merge(network)
    assert set(network.state_dict()) == names
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain.eval()(x), trained, rtol=1e-5, atol=1e-6)


def test_what_cannot_have_branches_is_left_alone():
    shared = nn.Conv1d(4, 4, 3, padding=1)
    also = nn.Conv1d(4, 4, 3, padding=1)
    also.weight = shared.weight
    at_zero = nn.Conv1d(4, 4, 3, padding=1)
    nn.init.zeros_(at_zero.weight[1].detach())
    frozen = nn.Conv1d(4, 4, 3, padding=1).requires_grad_(False)
    others = [
        nn.Conv1d(4, 4, 1),
        nn.Conv1d(4, 4, 3, stride=2, padding=1),
        nn.Conv1d(4, 4, 3, groups=2, padding=1),
        nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv3d(4, 4, 3, padding=1),
        nn.ConvTranspose1d(4, 4, 3),
        parametrizations.weight_norm(nn.Conv1d(4, 4, 3)),
        shared,
        also,
        at_zero,
        frozen,
        nn.Linear(4, 4),
    ]
    network = nn.Sequential(*others)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    reparameterize(network)
    assert set(network.state_dict()) == set(before)
    merge(network)
    after = network.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[name], before[name]) for name in before)


def causal():
    """Padded in front alone."""
    made = PaddedConv1d(3, 3, 5)
    made.sides = [4, 0]
    return made


@pytest.mark.parametrize(
    ("made", "centre"),
    [
        (lambda: nn.Conv1d(3, 3, 5, padding=2), 2),
        (lambda: nn.Conv1d(3, 3, 5, padding="same", dilation=7), 2),
        (lambda: nn.Conv1d(3, 3, 5, padding=1), 1),
        (lambda: nn.Conv1d(3, 3, 5), 2),  # what comes in may be padded already
        (lambda: nn.Conv1d(3, 3, 5, padding=20), 4),
        (causal, 4),
    ],
)
def test_the_centre_follows_the_padding(made, centre):
    conv = made()
    reparameterize(conv)
    branches = branches_of(conv)
    with torch.no_grad():
        branches.scale.zero_()
        branches.single_scale.zero_()
        branches.own_scale.fill_(1.0)
    expected = torch.zeros(3, 3, 5)
    expected[range(3), range(3), centre] = 1.0
    assert torch.equal(conv.weight, expected)
