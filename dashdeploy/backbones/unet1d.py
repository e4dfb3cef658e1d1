"""UNet1D: the U-Net of Ronneberger, Fischer and Brox in one dimension.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015
(arXiv 1505.04597), section 2 and figure 1. DASHA (Xu et al. 2024, arXiv 2411.02796) searches a U-Net beside a wide
residual network. Two things differ from the paper: convolutions pad, so that no position is lost, and batch norm
follows them.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dashdeploy.ops.training.pooling import mean_of_positions

KERNEL_SIZE = 3


class DoubleConv(nn.Sequential):
    """Two convolutions, each with batch norm and ReLU: maps [B, in_channels, n] to [B, out_channels, n]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for source in (in_channels, out_channels):
            # No bias: the batch norm that follows takes any constant away again.
            layers += [
                nn.Conv1d(source, out_channels, KERNEL_SIZE, padding="same", bias=False),
                nn.BatchNorm1d(out_channels),
                nn.ReLU(),
            ]
        super().__init__(*layers)


class UNet1D(nn.Module):
    """An encoder that halves the length and doubles the channels, a decoder back, and a head on every position.

    Every level of the decoder also sees what the encoder had at its length. Series of any length are padded with
    zeros at their end to a multiple of 2 ** `depth`; the features of the padding are cut off before the head.

    Args:
        in_channels: channels of the input.
        outputs: classes, or output channels.
        width: channels of the first level (Ronneberger et al.: 64).
        depth: how many times the length is halved (Ronneberger et al.: 4).
        dense: whether each position is predicted ([B, outputs, n]) or the series as a whole ([B, outputs]).
        dropout: probability, while training, at the end of the contracting path, as in the paper.

    Raises:
        ValueError: `depth` is less than 1.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        width: int = 64,
        depth: int = 4,
        dense: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth {depth}: a U-Net halves the length at least once; use 1 or more")
        self.dense, self.multiple = dense, 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            DoubleConv(source, target)
            for source, target in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.MaxPool1d(2)
        self.dropout = nn.Dropout(dropout)
        upwards = widths[:-1][::-1]
        self.up = nn.ModuleList(nn.ConvTranspose1d(2 * target, target, 2, stride=2) for target in upwards)
        self.decoder = nn.ModuleList(DoubleConv(2 * target, target) for target in upwards)
        self.head: nn.Module = nn.Conv1d(width, outputs, 1) if dense else nn.Linear(width, outputs)

    def features(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to [B, width, n]."""
        length = x.shape[-1]
        # Also where nothing is missing: a branch would be lost to torch's tracer, which warns of it.
        x = nn.functional.pad(x, (0, -length % self.multiple))
        passed: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            passed.append(x)
        y = self.dropout(passed.pop())
        for up, block in zip(self.up, self.decoder, strict=True):
            y = block(torch.cat([passed.pop(), up(y)], 1))
        return cast("Tensor", y[..., :length])

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, in_channels, n] to logits [B, outputs], or [B, outputs, n] for dense prediction."""
        y = self.features(x)
        return cast("Tensor", self.head(y if self.dense else mean_of_positions(y, training=self.training)))
