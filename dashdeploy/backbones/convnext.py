"""ConvNeXt: Liu et al., "A ConvNet for the 2020s" (arXiv 2201.03545, section 2 and figure 4), in small sizes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_SIZES = {"xtiny": ((3, 3, 9, 3), (24, 48, 96, 192)), "tiny": ((3, 3, 9, 3), (96, 192, 384, 768))}
"""Blocks and channels per stage."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of an image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, C, h, w] to the same shape."""
        return cast("Tensor", self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class ConvNeXtBlock(nn.Module):
    """A depthwise 7 x 7 convolution, layer norm, two linear layers with GELU between, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(1e-6 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, C, h, w] to the same shape."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(nn.functional.gelu(self.widen(y)))
        return cast("Tensor", x + y.permute(0, 3, 1, 2))


class ConvNeXt(nn.Module):
    """A patch stem, four stages with a downsampling between them, and a linear head.

    Args:
        in_channels: channels of the input.
        outputs: classes.
        size: ``xtiny`` or ``tiny``.
        patch: the stem's patch; 4 in the paper, less for small images.

    Raises:
        ValueError: the size is unknown.
    """

    def __init__(self, in_channels: int, outputs: int, size: str = "xtiny", patch: int = 4) -> None:
        super().__init__()
        if size not in _SIZES:
            raise ValueError(f"size {size!r}: choose from {', '.join(_SIZES)}")
        depths, widths = _SIZES[size]
        stages: list[nn.Module] = [
            nn.Conv2d(in_channels, widths[0], patch, stride=patch),
            ChannelNorm(widths[0]),
        ]
        for index, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if index:
                stages += [ChannelNorm(widths[index - 1]), nn.Conv2d(widths[index - 1], width, 2, stride=2)]
            stages += [ConvNeXtBlock(width) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, h, w] to logits [B, outputs]."""
        return cast("Tensor", self.head(self.norm(self.stages(x).mean((2, 3)))))
