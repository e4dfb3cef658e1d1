"""The published networks have their published sizes and map inputs to logits."""

import pytest
import torch

from dashdeploy.backbones.convnext import ConvNeXt
from dashdeploy.backbones.tcn import TCN
from dashdeploy.backbones.wide_resnet import WideResNet
from dashdeploy.bench.networks.inception_time import InceptionTime


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_wide_resnet_has_the_published_size():
    # Zagoruyko and Komodakis, table 4: WRN-28-10 has 36.5 M, WRN-40-4 8.9 M parameters.
    assert parameters(WideResNet(3, 10, 28, 10)) == pytest.approx(36.5e6, rel=0.002)
    assert parameters(WideResNet(3, 10, 40, 4)) == pytest.approx(8.95e6, rel=0.005)
    with pytest.raises(ValueError, match="depth 18"):
        WideResNet(3, 10, 18)


def test_convnext_has_the_published_size():
    # Liu et al., table 1: ConvNeXt-T has 28.6 M parameters.
    assert parameters(ConvNeXt(3, 1000, "tiny")) == pytest.approx(28.6e6, rel=0.001)
    with pytest.raises(ValueError, match="xtiny, tiny"):
        ConvNeXt(3, 10, "huge")


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (WideResNet(3, 10, 10, 1), (3, 16, 16)),
        (ConvNeXt(3, 10, patch=2), (3, 32, 32)),
        (TCN(2, 10, levels=3), (2, 50)),
        (InceptionTime(2, 10, depth=3, filters=4), (2, 50)),
    ],
)
def test_logits(model, shape):
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    logits = model.eval()(x)
    assert logits.shape == (3, 10)
    torch.testing.assert_close(logits[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)  # samples do not mix


def test_tcn_sees_no_later_position():
    model = TCN(1, 4, channels=5, levels=3, kernel_size=3).eval()
    x = torch.randn(1, 1, 40, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[..., 30:] += 1
    torch.testing.assert_close(model.blocks(x)[..., :30], model.blocks(changed)[..., :30], rtol=0, atol=0)
    assert not torch.equal(model.blocks(x)[..., 30:], model.blocks(changed)[..., 30:])
