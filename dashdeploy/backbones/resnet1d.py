"""ResNet1D: the residual network for time series of Wang, Yan and Oates, and DASH's 1-D backbone.

Z. Wang, W. Yan, T. Oates, "Time series classification from scratch with deep neural networks: a strong
baseline", IJCNN 2017, section II-C. DASH (arXiv 2204.07554) searches this topology for its 1-D tasks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashdeploy.backbones.patches import check_patch, patches
from dashdeploy.data.scaling.within_samples import ScalePerSample
from dashdeploy.ops.training.pooling import mean_of_positions

KERNEL_SIZES = (8, 5, 3)


class ResNetBlock(nn.Module):
    """Three convolutions, each with batch norm, around a shortcut; ReLU after each and after the sum.

    Dropout, which Wang et al. have not, stands behind the inner ReLUs.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        sources = [in_channels, out_channels, out_channels]
        # No bias: the batch norm that follows takes any constant away again.
        self.convs = nn.ModuleList(
            nn.Conv1d(source, out_channels, k, padding="same", bias=False)
            for source, k in zip(sources, KERNEL_SIZES, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(out_channels) for _ in KERNEL_SIZES)
        self.dropout = nn.Dropout(dropout)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv1d(in_channels, out_channels, 1, bias=False), nn.BatchNorm1d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to [B, out_channels, n]."""
        y, last = x, len(self.convs) - 1
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            if i < last:
                y = self.dropout(y.relu())
        return torch.relu(y + self.shortcut(x))


class ResNet1D(nn.Module):
    """Three blocks of `width`, 2 `width` and 2 `width` channels and a linear head.

    Args:
        in_channels: channels of the input.
        outputs: classes, or output channels.
        width: channels of the first block.
        dense: whether each position is predicted ([B, outputs, n]) or the series as a whole ([B, outputs]).
        dropout: probability, while training.
        patch: values of a patch. Above 1, the blocks see one position per patch, of `width` channels; see
            `dashdeploy.backbones.patches`. Steps then take about 1 / `patch` of their time.
        scale_samples: whether every channel of every series first gets mean 0 and deviation 1 by itself; see
            `dashdeploy.data.scaling.within_samples`.

    Raises:
        ValueError: `patch` is below 1, or above 1 where each position is predicted.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        width: int = 64,
        dense: bool = False,
        dropout: float = 0.0,
        patch: int = 1,
        scale_samples: bool = False,
    ) -> None:
        super().__init__()
        check_patch(patch, dense=dense)
        self.dense = dense
        self.scaled: nn.Module = ScalePerSample() if scale_samples else nn.Identity()
        self.stem: nn.Module = nn.Identity()
        if patch > 1:
            self.stem, in_channels = patches(1, in_channels, width, patch), width
        channels = [in_channels, width, 2 * width, 2 * width]
        self.blocks = nn.Sequential(*(ResNetBlock(channels[i], channels[i + 1], dropout) for i in range(3)))
        self.head: nn.Module = nn.Conv1d(2 * width, outputs, 1) if dense else nn.Linear(2 * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to logits [B, outputs], or [B, outputs, n] for dense prediction."""
        y = self.blocks(self.stem(self.scaled(x)))
        logits: Tensor = self.head(y if self.dense else mean_of_positions(y, training=self.training))
        return logits
