"""InceptionTime: Fawaz et al. (arXiv 1909.04939, section 3), a network of the benchmark's list."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_RESIDUAL_EVERY = 3


class InceptionModule(nn.Module):
    """A bottleneck, three convolutions of different length that read it, and a pooled branch, side by side."""

    def __init__(self, in_channels: int, filters: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.bottleneck: nn.Module = nn.Identity()
        width = in_channels
        if in_channels > 1:
            self.bottleneck = nn.Conv1d(in_channels, filters, 1, bias=False)
            width = filters
        self.convs = nn.ModuleList(nn.Conv1d(width, filters, k, padding="same", bias=False) for k in kernels)
        self.pooled = nn.Sequential(
            nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(in_channels, filters, 1, bias=False)
        )
        self.norm = nn.BatchNorm1d(filters * (len(kernels) + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to [B, filters * (len(kernels) + 1), n]."""
        narrow = self.bottleneck(x)
        branches = [conv(narrow) for conv in self.convs]
        return torch.relu(self.norm(torch.cat([*branches, self.pooled(x)], dim=1)))


class InceptionTime(nn.Module):
    """Modules with a shortcut around every third, global average pooling and a linear head.

    Args:
        in_channels: channels of the input.
        outputs: classes.
        depth: modules.
        filters: channels of each branch.
        kernels: lengths of the branches.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        depth: int = 6,
        filters: int = 32,
        kernels: tuple[int, ...] = (39, 19, 9),
    ) -> None:
        super().__init__()
        width = filters * (len(kernels) + 1)
        widths = [in_channels] + [width] * depth
        self.inceptions = nn.ModuleList(InceptionModule(widths[i], filters, kernels) for i in range(depth))
        self.shortcuts = nn.ModuleList(
            nn.Sequential(nn.Conv1d(widths[i], width, 1, bias=False), nn.BatchNorm1d(width))
            for i in range(0, depth, _RESIDUAL_EVERY)
        )
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to logits [B, outputs]."""
        residual = x
        for i, module in enumerate(self.inceptions):
            x = module(x)
            if i % _RESIDUAL_EVERY == _RESIDUAL_EVERY - 1:
                x = torch.relu(x + self.shortcuts[i // _RESIDUAL_EVERY](residual))
                residual = x
        return cast("Tensor", self.head(x.mean(-1)))
