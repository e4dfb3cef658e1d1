"""Backbone to supernet, and back to plain convolutions."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.errors import InputError
from dashdeploy.ops.aggconv.module import AggConv1d, AggConv2d
from dashdeploy.search.supernet.build import (
    CandidateNorm,
    agg_convs,
    build_supernet,
    discretize,
    why_not_searched,
)

ARGUMENTS = {"in_channels": 2, "outputs": 3, "width": 4, "dense": False}


def supernet(kernel_sizes=(3, 4), dilations=(1, 5), **arguments):
    model = build_backbone("resnet1d", ARGUMENTS | arguments)
    kept = build_supernet(model, kernel_sizes, dilations, "fourier")
    return model, kept


def test_every_convolution_but_the_shortcuts_is_searched():
    model, kept = supernet()
    assert list(agg_convs(model)) == [f"blocks.{b}.convs.{i}" for b in range(3) for i in range(3)]
    assert list(kept) == ["blocks.0.shortcut.0", "blocks.1.shortcut.0"]
    assert "kernel size is 1" in kept["blocks.0.shortcut.0"]
    assert model(torch.randn(2, 2, 21)).shape == (2, 3)


def test_discretize_takes_the_largest_architecture_parameter():
    model, _ = supernet()
    modules = agg_convs(model)
    with torch.no_grad():
        modules["blocks.0.convs.0"].alpha[1, 0] = 2.0
        modules["blocks.2.convs.2"].alpha[0, 1] = 1.0
    layers = {layer.name: layer for layer in discretize(model)}
    first = layers["blocks.0.convs.0"]
    assert (first.kernel_size, first.dilation) == (4, 1)
    # softmax of one 2 among four, the others within 1e-2 of zero
    assert first.alpha[1][0] == pytest.approx(torch.e**2 / (torch.e**2 + 3), abs=5e-3)
    assert sum(map(sum, first.alpha)) == pytest.approx(1, abs=1e-6)
    assert (layers["blocks.2.convs.2"].kernel_size, layers["blocks.2.convs.2"].dilation) == (3, 5)


def test_what_was_searched_is_what_is_built():
    """A supernet whose choice is certain computes the same as the network built from its architecture."""
    torch.manual_seed(0)
    model, _ = supernet()
    with torch.no_grad():
        for i, module in enumerate(agg_convs(model).values()):
            module.alpha.fill_(-1e4)
            module.alpha.view(-1)[i % 4] = 1e4
    layers = discretize(model)
    built = build_searched(
        Architecture(
            backbone="resnet1d", arguments=ARGUMENTS, kernel_sizes=[3, 4], dilations=[1, 5], layers=layers
        )
    )
    state = {}
    for name, tensor in model.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        module = agg_convs(model).get(owner)
        if module is None:
            state[name] = tensor
        elif leaf == "weight":
            k, d = module.best()
            first = {(3, 1): 0, (3, 5): 3, (4, 1): 6, (4, 5): 10}[k, d]
            state[name] = tensor[first : first + k].permute(1, 2, 0)
    built.load_state_dict(state)
    x = torch.randn(3, 2, 30)
    torch.testing.assert_close(model.eval()(x), built.eval()(x), rtol=1e-4, atol=1e-5)


def test_architecture_parameters_receive_gradients():
    model, _ = supernet()
    model(torch.randn(4, 2, 30)).square().sum().backward()
    assert all(module.alpha.grad.abs().max() > 0 for module in agg_convs(model).values())


@pytest.mark.parametrize(
    ("conv", "reason"),
    [
        (nn.Conv1d(2, 2, 1), "kernel size is 1"),
        (nn.Conv2d(2, 2, (3, 5)), "(3, 5) or dilation (1, 1) differs between the axes"),
        (nn.Conv1d(2, 2, 4, stride=4), "cuts patches"),
        (nn.Conv3d(2, 2, 3), "is a Conv3d"),
        (nn.ConvTranspose1d(2, 2, 3), "is a ConvTranspose1d"),
        (nn.Conv1d(2, 2, 3, padding="same", padding_mode="circular"), "circular"),
        (nn.utils.parametrizations.spectral_norm(nn.Conv1d(2, 2, 3)), "other than weight norm"),
        (nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 2, 3)), None),
        (nn.Conv1d(2, 2, 3, stride=2, padding=1), None),
        (nn.Conv1d(2, 2, 3), None),
        (nn.Conv1d(2, 2, 4, padding=1), None),
        (nn.Conv1d(2, 2, 5, padding=6, dilation=3), None),
        (nn.Conv1d(2, 2, 8, padding="same", groups=2), None),
        (nn.Conv2d(2, 2, 3, stride=2, padding=1), None),
    ],
    ids=str,
)
def test_what_is_not_searched_has_its_reason(conv, reason):
    given = why_not_searched(conv, "body.conv")
    assert given is None if reason is None else reason in given


def test_shortcuts_and_exclusions_go_by_name():
    conv = nn.Conv1d(2, 2, 3)
    assert "shortcut" in why_not_searched(conv, "blocks.0.shortcut.0")
    assert "excluded by 'blocks.*.first'" in why_not_searched(
        conv, "blocks.0.first", exclude=["x", "blocks.*.first"]
    )
    assert why_not_searched(conv, "blocks.0.second", exclude=["blocks.*.first"]) is None


def test_a_model_without_a_searchable_convolution_is_refused():
    model = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Flatten())
    with pytest.raises(InputError, match=r"no convolution to search \(0: its kernel size is 1"):
        build_supernet(model, (3,), (1,), "fourier")


def test_a_lone_convolution_in_a_sequence_is_replaced():
    model = nn.Sequential(nn.Conv1d(2, 4, 3, padding="same"), nn.ReLU())
    assert build_supernet(model, (3, 5), (1,), "mixed-weights") == {}
    assert isinstance(model[0], AggConv1d)
    assert model[0].method == "mixed-weights"


BACKBONES = [
    ("resnet1d", {"in_channels": 2, "outputs": 3, "width": 4}, (2, 40)),
    ("tcn", {"in_channels": 2, "outputs": 3, "channels": 4, "levels": 3, "kernel_size": 3}, (2, 40)),
    ("unet1d", {"in_channels": 2, "outputs": 3, "width": 4, "depth": 2}, (2, 41)),
    ("unet1d", {"in_channels": 2, "outputs": 3, "width": 4, "depth": 3, "dense": True}, (2, 40)),
    ("wide_resnet", {"in_channels": 3, "outputs": 3, "depth": 10, "widen": 1}, (3, 16, 16)),
    ("convnext", {"in_channels": 3, "outputs": 3, "patch": 2}, (3, 32, 32)),
    ("resnet1d", {"in_channels": 2, "outputs": 3, "width": 4, "patch": 2}, (2, 81)),
]


@pytest.mark.parametrize(("name", "arguments", "shape"), BACKBONES, ids=lambda value: str(value)[:12])
def test_every_backbone_is_searched_as_it_is_rebuilt(name, arguments, shape):
    """With a certain choice, the supernet computes what the rebuilt network does, with the same weights."""
    torch.manual_seed(0)
    model = build_backbone(name, arguments)
    kinds = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)
    convs = {n for n, m in model.named_modules() if isinstance(m, kinds)}
    kept = build_supernet(model, (3, 4), (1, 5), input_shape=shape)
    modules = agg_convs(model)
    if name == "unet1d":  # all of its 3-tap convolutions, and no others
        assert set(modules) == {n for n in convs if n.startswith(("encoder.", "decoder."))}
    assert set(kept) | set(modules) == convs
    with torch.no_grad():
        for i, module in enumerate(modules.values()):
            module.alpha.fill_(-1e4)
            module.alpha.view(-1)[i % 4] = 1e4
    found = Architecture(
        backbone=name, arguments=arguments, kernel_sizes=[3, 4], dilations=[1, 5], layers=discretize(model)
    )
    built = build_searched(found)
    copy_certain(model, built)
    x = torch.randn(3, *shape)
    torch.testing.assert_close(model.eval()(x), built.eval()(x), rtol=1e-4, atol=1e-5)


def copy_certain(supernet, built):
    """Copy all weights, of every AggConv those of its best candidate."""
    modules, state = agg_convs(supernet), supernet.state_dict()
    target = dict(built.named_modules())
    with torch.no_grad():
        for name, module in modules.items():
            best = module.candidates.index(module.best())
            counts = [k**module.rank for k, _ in module.candidates]
            first = sum(counts[:best])
            taps = module.weight[first : first + counts[best]].permute(1, 2, 0)
            conv = target[name]
            conv.weight = (
                taps.reshape(conv.weight.shape)
                if parametrized(conv)
                else nn.Parameter(taps.reshape(conv.weight.shape))
            )
            if conv.bias is not None:
                conv.bias.copy_(module.bias)
            state = {k: v for k, v in state.items() if not k.startswith(f"{name}.")}
    missing = built.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert {key.rpartition(".")[0].partition(".parametrizations")[0] for key in missing.missing_keys} == set(
        modules
    )


def parametrized(conv):
    return hasattr(conv, "parametrizations")


def test_a_searched_tcn_stays_causal():
    torch.manual_seed(0)
    model = build_backbone(*BACKBONES[1][:2])
    build_supernet(model, (3, 4), (1, 5), input_shape=(2, 40))
    assert all(module.frame.causal for module in agg_convs(model).values())
    x = torch.randn(1, 2, 40)
    changed = x.clone()
    changed[..., 30:] += 1
    before, after = model.eval().blocks(x), model.blocks(changed)
    torch.testing.assert_close(before[..., :30], after[..., :30], rtol=0, atol=1e-6)
    assert (before[..., 30:] - after[..., 30:]).abs().max() > 1e-3


def test_what_the_forward_pass_never_uses_is_kept():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Conv1d(2, 2, 3), nn.Conv1d(2, 2, 3)

        def forward(self, x):
            return self.used(x)

    model = Half()
    assert build_supernet(model, (3,), (1,), input_shape=(2, 10)) == {
        "unused": "the forward pass never uses it"
    }


def test_a_model_that_looks_into_its_convolutions_is_refused():
    class Nosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 3, padding=2)

        def forward(self, x):
            return self.conv(x)[..., : -self.conv.padding[0]]

    with pytest.raises(InputError, match=r"does not run with searched convolutions.*padding.*exclude"):
        build_supernet(Nosy(), (3,), (1,), input_shape=(2, 10))


def test_separable_layers_mix_depthwise():
    model, _ = supernet()
    build = build_backbone("resnet1d", ARGUMENTS)
    build_supernet(build, (3,), (1,), separable=True)
    assert {m.groups for m in agg_convs(model).values()} == {1}
    assert {m.groups for m in agg_convs(build).values()} == {1, 4, 8}


def normed(agg_conv):
    parametrize.register_parametrization(agg_conv, "weight", CandidateNorm(agg_conv))
    return agg_conv


def test_weight_norm_starts_without_a_change():
    module = AggConv1d(2, 3, [3, 4], [1, 5])
    before = module.weight.detach().clone()
    torch.testing.assert_close(normed(module).weight.detach(), before)


def test_every_candidate_is_normalized_as_torch_does_it():
    torch.manual_seed(0)
    for module, conv_class in (
        (AggConv1d(2, 3, [3, 4], [1]), nn.Conv1d),
        (AggConv2d(2, 3, [2, 3], [1]), nn.Conv2d),
    ):
        module = normed(module.double())  # noqa: PLW2901
        gain, v = module.parametrizations.weight[0].gain, module.parametrizations.weight.original
        with torch.no_grad():
            gain.uniform_(0.5, 2)
            v.normal_()
        first = 0
        for index, (k, _) in enumerate(module.candidates):
            conv = parametrizations.weight_norm(conv_class(2, 3, k).double())
            taps = k**module.rank
            direction = v[first : first + taps].permute(1, 2, 0).reshape(conv.weight.shape)
            with torch.no_grad():
                conv.parametrizations.weight.original0.copy_(gain[index].view(-1, *[1] * (module.rank + 1)))
                conv.parametrizations.weight.original1.copy_(direction)
            ours = module.weight[first : first + taps].permute(1, 2, 0).reshape(conv.weight.shape)
            torch.testing.assert_close(ours, conv.weight, rtol=0, atol=1e-12)
            first += taps
        assert first == len(module.weight)
