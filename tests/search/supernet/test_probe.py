"""What the forward pass of a network tells about its convolutions."""

import pytest
import torch
from torch import nn

from dashdeploy.backbones.tcn import TCN
from dashdeploy.errors import InputError
from dashdeploy.search.supernet.probe import Seen, leaves_unused, probe


class Chomped(nn.Module):
    """Pads both sides and cuts off the end, as Bai, Kolter and Koltun's released code does."""

    def __init__(self):
        super().__init__()
        self.causal = nn.Conv1d(2, 3, 3, padding=8, dilation=4)
        self.centred = nn.Conv1d(3, 3, 3, padding=4, dilation=4)
        self.unused = nn.Conv1d(3, 3, 3)

    def forward(self, x):
        return self.centred(self.causal(x)[..., :-8])


class OwnPadding(nn.Conv1d):
    def forward(self, x):
        return super().forward(nn.functional.pad(x, (2, 0)))


def test_extents_causality_and_use():
    assert probe(Chomped(), (2, 30)) == {
        "causal": Seen((30,), (46 - 8,), True),
        "centred": Seen((30,), (30,), False),
    }


def test_a_subclass_that_pads_in_front_is_causal():
    model = nn.Sequential(OwnPadding(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 3, padding=1))
    assert {name: seen.causal for name, seen in probe(model, (1, 20)).items()} == {"0": True, "2": False}


def test_zeros_in_front_make_a_convolution_causal():
    torch.manual_seed(0)  # of three channels a rectifier may let none through, and then nothing is seen
    seen = probe(TCN(1, 2, channels=3, levels=2, kernel_size=3), (1, 40))
    assert {name: each.causal for name, each in seen.items()} == {
        "blocks.0.body.0.conv": True,
        "blocks.0.body.3.conv": True,
        "blocks.0.shortcut": False,
        "blocks.1.body.0.conv": True,
        "blocks.1.body.3.conv": True,
    }


def test_the_model_and_the_random_state_are_left_as_they_were():
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    probe(model, (2, 10))
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not model[0]._forward_hooks


def test_input_that_does_not_fit_is_one_line():
    with pytest.raises(InputError, match=r"does not take samples of shape \[3, 10\]: .*channels") as caught:
        probe(nn.Sequential(nn.Conv1d(2, 4, 3)), (3, 10))
    assert "\n" not in str(caught.value)


def test_unused_parameters_are_found():
    used = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.BatchNorm1d(2))
    assert not leaves_unused(used, (1, 8))
    used.extra = torch.nn.Linear(2, 2)
    used.forward = lambda x: used[1](used[0](x))
    assert leaves_unused(used, (1, 8))
