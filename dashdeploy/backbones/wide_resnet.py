"""Wide residual networks, WRN-d-w: Zagoruyko and Komodakis (arXiv 1605.07146, table 1), DASH's 2-D backbone."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dashdeploy.backbones.patches import check_patch, patches
from dashdeploy.ops.training.pooling import mean_of_positions

_GROUPS = 3


class WideBlock(nn.Module):
    """Two 3 x 3 convolutions, each behind a batch norm and ReLU, around a shortcut; dropout between them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.shortcut: nn.Module | None = None
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, h, w] to [B, out_channels, h / stride, w / stride]."""
        before = torch.relu(self.norm1(x))
        y = self.conv2(self.dropout(torch.relu(self.norm2(self.conv1(before)))))
        return cast("Tensor", y + (x if self.shortcut is None else self.shortcut(before)))


class WideResNet(nn.Module):
    """A stem and three groups of blocks of 16, 32 and 64 times `widen` channels; the last two halve the image.

    Args:
        in_channels: channels of the input.
        outputs: classes.
        depth: d, 6 n + 4 for n blocks per group.
        widen: w, which need not be whole: channels are rounded to a multiple of 4, as vector units like them.
        dropout: probability, while training.
        dense: whether each position is predicted ([B, outputs, h, w]): no stride, no pooling, as in DASH's dense
            tasks.
        patch: side of the patches. Above 1, the stem sees one position per patch, of as many channels as the first
            group has; see `dashdeploy.backbones.patches`. Steps then take about 1 / `patch`² of their time.

    Raises:
        ValueError: `depth` is not 6 n + 4; `patch` is below 1, or above 1 where each position is predicted.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        depth: int = 16,
        widen: float = 4,
        dropout: float = 0.0,
        dense: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__()
        check_patch(patch, dense=dense)
        self.dense = dense
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth {depth}: a wide residual network has 6 n + 4 layers, such as 16, 22, 28")
        widths = [16, *(max(1, round(4 * 2**group * widen)) * 4 for group in range(_GROUPS))]
        blocks: list[nn.Module] = []
        for group in range(_GROUPS):
            for index in range((depth - 4) // 6):
                source = widths[group] if index == 0 else widths[group + 1]
                stride = 2 if group > 0 and index == 0 and not dense else 1
                blocks.append(WideBlock(source, widths[group + 1], stride, dropout))
        self.patches: nn.Module = nn.Identity()
        if patch > 1:
            self.patches, in_channels = patches(2, in_channels, widths[1], patch), widths[1]
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head: nn.Module = nn.Linear(widths[-1], outputs)
        if dense:
            self.head = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, h, w] to logits [B, outputs], or [B, outputs, h, w] for dense prediction."""
        y = torch.relu(self.norm(self.blocks(self.stem(self.patches(x)))))
        return cast("Tensor", self.head(y if self.dense else mean_of_positions(y, training=self.training)))
