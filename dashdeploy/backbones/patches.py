"""Patches: several neighbouring values as one position with more channels, so that a network takes less time.

A convolution whose kernel is as long as its stride cuts them, as the ViT cuts images: A. Dosovitskiy et al., "An
image is worth 16x16 words", ICLR 2021, section 3.1. The kernels of the network behind it reach as many times as far.
"""

from __future__ import annotations

from torch import nn

_PARTS = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d)}


def patches(rank: int, in_channels: int, out_channels: int, patch: int) -> nn.Sequential:
    """Patches, a batch norm and ReLU: [B, in_channels, n] becomes [B, out_channels, n // patch], on every axis.

    What remains at the end of an axis is left out.

    Args:
        rank: spatial axes, 1 or 2.
        in_channels: channels of the input.
        out_channels: channels of a position.
        patch: values of a patch, along each axis.
    """
    conv, norm = _PARTS[rank]
    return nn.Sequential(
        conv(in_channels, out_channels, patch, stride=patch, bias=False), norm(out_channels), nn.ReLU()
    )


def check_patch(patch: int, *, dense: bool) -> None:
    """Refuse patches that a network cannot have.

    Raises:
        ValueError: `patch` is below 1, or above 1 where each position is predicted.
    """
    if patch < 1:
        raise ValueError(f"patch = {patch}: a patch has at least one value")
    if dense and patch > 1:
        raise ValueError(f"patch = {patch}: every position is predicted, so leave it out")
