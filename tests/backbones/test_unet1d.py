"""UNet1D: the published size and topology, every length, and what each position sees."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dashdeploy.backbones.unet1d import UNet1D


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@given(
    n=st.integers(1, 70),
    depth=st.integers(1, 4),
    channels=st.integers(1, 3),
    batch=st.integers(1, 3),
    dense=st.booleans(),
)
def test_every_length_is_predicted(n, depth, channels, batch, dense):
    model = UNet1D(channels, 5, width=2, depth=depth, dense=dense).eval()
    x = random(batch, channels, n)
    y = model(x)
    assert y.shape == ((batch, 5, n) if dense else (batch, 5))
    assert model(x.flip(0)).allclose(y.flip(0), rtol=1e-4, atol=1e-5)  # samples do not mix


def test_topology_is_that_of_the_paper():
    model = UNet1D(1, 2, dense=True)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv1d)]
    ups = [m for m in model.modules() if isinstance(m, nn.ConvTranspose1d)]
    # Figure 1: 64 to 1024 channels and back; 23 convolutional layers (section 2), four of which are up-convolutions.
    assert len(convs) + len(ups) == 23
    assert [(m.in_channels, m.out_channels) for m in convs[:10:2]] == [
        (1, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, 1024),
    ]
    assert [(m.in_channels, m.out_channels) for m in ups] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 64),
    ]
    assert [(m.in_channels, m.out_channels) for m in convs[10:18:2]] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 64),
    ]
    assert convs[-1].kernel_size == (1,)


def test_a_longer_series_of_zeros_behind_is_the_padding():
    """13 positions are padded to 16, and what is said of the first 13 is the same."""
    model = UNet1D(2, 3, width=4, depth=4, dense=True).eval()
    x = random(2, 2, 13)
    whole = model(nn.functional.pad(x, (0, 3)))
    torch.testing.assert_close(model(x), whole[..., :13], rtol=1e-5, atol=1e-6)


def test_the_series_as_a_whole_is_the_mean_of_its_own_positions():
    model = UNet1D(2, 3, width=4, depth=3).eval()
    x = random(2, 2, 21)
    features = model.features(x)
    assert features.shape == (2, 4, 21)
    torch.testing.assert_close(model(x), model.head(features.mean(-1)))


@pytest.mark.parametrize(("depth", "reach"), [(1, 10), (2, 26)])
def test_a_position_sees_as_far_as_the_levels_reach(depth, reach):
    """Zeroing what skips a level leaves a larger field than the convolutions of the first level have."""
    x = random(1, 1, 96)
    changed = x.clone()
    changed[..., 48] += 10
    seen = set()
    for seed in range(8):  # with some weights, a ReLU lets nothing through
        torch.manual_seed(seed)
        model = UNet1D(1, 1, width=4, depth=depth, dense=True).eval()
        seen |= set((model(x) != model(changed)).flatten().nonzero().flatten().tolist())
    assert 48 - reach <= min(seen) < 44
    assert 52 < max(seen) <= 48 + reach


def test_the_decoder_sees_the_encoder_s_levels():
    model = UNet1D(1, 1, width=4, depth=2, dense=True).eval()
    x = random(1, 1, 16)
    with torch.no_grad():
        for up in model.up:
            up.weight.zero_()
            up.bias.zero_()
    changed = x.clone()
    changed[..., 8] += 1
    assert not torch.equal(model(x), model(changed))  # by the level that is passed across


def test_dropout_is_at_the_end_of_the_contracting_path():
    model = UNet1D(1, 1, width=4, depth=2, dropout=0.5)
    torch.manual_seed(0)
    x = random(2, 1, 16)
    shapes = []
    model.dropout.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    model(x)
    assert shapes == [(2, 16, 4)]
    assert model.dropout.p == 0.5


def test_a_depth_of_0_is_refused():
    with pytest.raises(ValueError, match="depth 0"):
        UNet1D(1, 1, depth=0)
