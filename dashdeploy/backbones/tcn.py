"""TCN: the temporal convolutional network of Bai, Kolter and Koltun (arXiv 1803.01271, section 3)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class CausalConv1d(nn.Module):
    """A convolution that sees no later position: all of its padding is in front."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation))
        self.before = (kernel_size - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to [B, out_channels, n]."""
        return cast("Tensor", self.conv(nn.functional.pad(x, (self.before, 0))))


class TemporalBlock(nn.Module):
    """Two causal convolutions of one dilation, each with ReLU and dropout, around a shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            CausalConv1d(in_channels, out_channels, kernel_size, dilation),
            nn.ReLU(),
            nn.Dropout(dropout),
            CausalConv1d(out_channels, out_channels, kernel_size, dilation),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv1d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to [B, out_channels, n]."""
        return torch.relu(self.body(x) + self.shortcut(x))


class TCN(nn.Module):
    """Blocks of dilation 1, 2, 4, ... and a linear head on the last position.

    Args:
        in_channels: channels of the input.
        outputs: classes.
        channels: channels of every block.
        levels: blocks.
        kernel_size: taps of every convolution.
        dropout: probability, while training.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        channels: int = 25,
        levels: int = 8,
        kernel_size: int = 7,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [channels] * levels
        self.blocks = nn.Sequential(
            *(TemporalBlock(widths[i], widths[i + 1], kernel_size, 2**i, dropout) for i in range(levels))
        )
        self.head = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to logits [B, outputs]."""
        return cast("Tensor", self.head(self.blocks(x)[:, :, -1]))
