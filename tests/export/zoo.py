"""Small networks of the architectures that people deploy, in plain PyTorch, for the tests of the compiler.

Each is built as its paper or its usual code has it, with a few channels; none knows of dashdeploy.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class DoubleConv(nn.Sequential):
    """Two convolutions with batch norms, the block of a U-Net, in one or two dimensions."""

    def __init__(self, rank, inputs, outputs):
        conv = {1: nn.Conv1d, 2: nn.Conv2d}[rank]
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[rank]
        super().__init__(
            conv(inputs, outputs, 3, padding=1, bias=False),
            norm(outputs),
            nn.ReLU(inplace=True),
            conv(outputs, outputs, 5, padding="same"),
            norm(outputs),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """Down by max pooling, up by a transposed convolution or by interpolation, skips by concatenation."""

    def __init__(self, rank, width=8):
        super().__init__()
        pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d}[rank]
        transposed = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}[rank]
        self.down1, self.down2 = DoubleConv(rank, 2, width), DoubleConv(rank, width, 2 * width)
        self.middle = DoubleConv(rank, 2 * width, 4 * width)
        self.pool = pool(2)
        self.up2 = transposed(4 * width, 2 * width, 2, stride=2)
        self.up1 = nn.Sequential(
            nn.Upsample(scale_factor=2), {1: nn.Conv1d, 2: nn.Conv2d}[rank](2 * width, width, 1)
        )
        self.join2, self.join1 = DoubleConv(rank, 4 * width, 2 * width), DoubleConv(rank, 2 * width, width)
        self.head = {1: nn.Conv1d, 2: nn.Conv2d}[rank](width, 3, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(self.pool(first))
        y = self.middle(self.pool(second))
        y = self.join2(torch.cat([second, self.up2(y)], 1))
        return self.head(self.join1(torch.cat([first, self.up1(y)], 1)))


class WaveNet(nn.Module):
    """Causal gated convolutions with residuals and skips (van den Oord et al. 2016); `pad` is an operator."""

    def __init__(self, width=12, layers=5):
        super().__init__()
        self.stem = nn.Conv1d(1, width, 1)
        self.filters = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(layers))
        self.gates = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(layers))
        self.residuals = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.skips = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 8, 1))

    def forward(self, x):
        x, total = self.stem(x), 0
        for i, (filters, gates) in enumerate(zip(self.filters, self.gates, strict=True)):
            padded = functional.pad(x, (2**i, 0))
            y = torch.tanh(filters(padded)) * torch.sigmoid(gates(padded))
            total = total + self.skips[i](y)
            x = x + self.residuals[i](y)
        return self.head(total)


class TemporalBlock(nn.Module):
    """A block of a TCN (Bai et al. 2018): padding on both sides, cut off behind; weight norm."""

    def __init__(self, inputs, outputs, k, d):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.first = norm(nn.Conv1d(inputs, outputs, k, padding=(k - 1) * d, dilation=d))
        self.second = norm(nn.Conv1d(outputs, outputs, k, padding=(k - 1) * d, dilation=d))
        self.chomp = (k - 1) * d
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x):
        y = torch.relu(self.first(x)[..., : -self.chomp])
        y = torch.relu(self.second(y)[..., : -self.chomp])
        return torch.relu(y + self.shortcut(x))


class LastStep(nn.Module):
    """The last position alone goes to the classifier."""

    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        return self.head(x[..., -1])


class InvertedResidual(nn.Module):
    """MobileNetV2's block (Sandler et al. 2018)."""

    def __init__(self, inputs, outputs, stride, expand=4):
        super().__init__()
        hidden = inputs * expand
        self.body = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class LargeKernelBlock(nn.Module):
    """RepLKNet's block before its branches are merged (Ding et al. 2022): 31 x 31 and 5 x 5 depthwise."""

    def __init__(self, width, large=31, small=5):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.large = nn.Sequential(
            nn.Conv2d(width, width, large, padding=large // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
        )
        self.small = nn.Sequential(
            nn.Conv2d(width, width, small, padding=small // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
        )
        self.project = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.expand(x)
        return x + self.project(torch.relu(self.large(y) + self.small(y)))


class ASPP(nn.Module):
    """DeepLabV3's atrous spatial pyramid pooling (Chen et al. 2017): dilations 6, 12 and 18 beside each other."""

    def __init__(self, inputs, width):
        super().__init__()
        self.branches = nn.ModuleList(
            [nn.Conv2d(inputs, width, 1)]
            + [nn.Conv2d(inputs, width, 3, padding=d, dilation=d) for d in (6, 12, 18)]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, width, 1), nn.ReLU())
        self.project = nn.Conv2d(5 * width, width, 1)

    def forward(self, x):
        pooled = functional.interpolate(self.pooled(x), size=x.shape[-2:], mode="bilinear")
        return self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], 1))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.body(x)


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole image says (Hu et al. 2018), as in EfficientNet."""

    def __init__(self, width, squeezed):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x):
        scale = functional.silu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.expand(scale))


class ConformerConv(nn.Module):
    """The convolution module of a Conformer (Gulati et al. 2020), [batch, time, features]."""

    def __init__(self, width, k=15):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.pointwise1 = nn.Conv1d(width, 2 * width, 1)
        self.depthwise = nn.Conv1d(width, width, k, padding=k // 2, groups=width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.pointwise2 = nn.Conv1d(width, width, 1)

    def forward(self, x):
        y = functional.glu(self.pointwise1(self.norm(x).transpose(1, 2)), dim=1)
        y = functional.silu(self.batch_norm(self.depthwise(y)))
        return x + self.pointwise2(y).transpose(1, 2)


def _norm_act(conv, norm=nn.BatchNorm2d, act=nn.GELU):
    return [conv, norm(conv.out_channels), act()]


ZOO = {
    "u-net 1-d": (lambda: UNet(1), (2, 64)),
    "u-net 2-d": (lambda: UNet(2, 4), (2, 16, 24)),
    "wavenet": (WaveNet, (1, 90)),
    "tcn": (
        lambda: nn.Sequential(
            TemporalBlock(3, 10, 7, 1),
            TemporalBlock(10, 10, 7, 2),
            TemporalBlock(10, 10, 7, 16),
            LastStep(10),
        ),
        (3, 80),
    ),
    "mobilenetv2": (
        lambda: nn.Sequential(
            *_norm_act(nn.Conv2d(3, 8, 3, 2, 1, bias=False), act=nn.ReLU6),
            InvertedResidual(8, 8, 1),
            InvertedResidual(8, 12, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(12, 5),
        ),
        (3, 32, 32),
    ),
    "replknet": (lambda: nn.Sequential(nn.Conv2d(3, 6, 4, 4), LargeKernelBlock(6)), (3, 72, 64)),
    "deeplab aspp": (
        lambda: nn.Sequential(*_norm_act(nn.Conv2d(3, 8, 3, 2, 1)), ASPP(8, 6), nn.Conv2d(6, 2, 1)),
        (3, 40, 36),
    ),
    "resnext": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 7, 2, 3),
            nn.MaxPool2d(3, 2, 1),
            Residual(
                *_norm_act(nn.Conv2d(16, 16, 1, bias=False)),
                *_norm_act(nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=False)),
                nn.Conv2d(16, 16, 1),
            ),
        ),
        (3, 44, 44),
    ),
    "convmixer": (
        lambda: nn.Sequential(
            *_norm_act(nn.Conv2d(3, 12, 4, stride=4)),
            *[
                layer
                for _ in range(2)
                for layer in (
                    Residual(*_norm_act(nn.Conv2d(12, 12, 9, groups=12, padding="same"))),
                    *_norm_act(nn.Conv2d(12, 12, 1)),
                )
            ],
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 3),
        ),
        (3, 48, 48),
    ),
    "efficientnet": (
        lambda: nn.Sequential(
            *_norm_act(nn.Conv2d(3, 8, 3, 2, 1, bias=False), act=nn.SiLU),
            *_norm_act(nn.Conv2d(8, 8, 5, 1, 2, groups=8, bias=False), act=nn.SiLU),
            SqueezeExcitation(8, 2),
            nn.Conv2d(8, 6, 1),
        ),
        (3, 30, 34),
    ),
    "conformer": (
        lambda: nn.Sequential(nn.Linear(20, 16), ConformerConv(16), ConformerConv(16, 31)),
        (50, 20),
    ),
    "dilated ecg": (
        lambda: nn.Sequential(
            *_norm_act(nn.Conv1d(12, 16, 15, stride=2, padding=7), nn.BatchNorm1d, nn.LeakyReLU),
            *_norm_act(nn.Conv1d(16, 16, 16, dilation=4, padding=(30,)), nn.BatchNorm1d, nn.LeakyReLU),
            *_norm_act(nn.Conv1d(16, 16, 9, dilation=8, padding=32), nn.BatchNorm1d, nn.LeakyReLU),
            nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Linear(16, 5),
        ),
        (12, 500),
    ),
}
"""By name: what builds the network, and the shape of its input without the batch."""
