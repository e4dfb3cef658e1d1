"""Convolutions in half precision on a CPU keep their channels last, which is how oneDNN is quickest at them.

Given channels first, oneDNN brings inputs, results and gradients into the other layout and back, over and over; for
some 48 channels in bfloat16 that takes longer than the convolution (docs/decisions.md has the measurements). Series
become images of one row, since torch knows the layout for images alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dashdeploy.ops.conv.half_precision import is_computed_in_half

WEIGHT_SHARE = 0.5
"""Weights per element of input and output up to which it pays: weights and their gradients change their layout in
every step, since parameters keep theirs."""


def prefers_channels_last(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether a convolution of x [B, in, *spatial] with a weight [out, in / groups, *shape] is faster that way.

    Args:
        x: in any layout.
        weight: of one or two axes.
        groups: of channels. Depthwise series are quicker with channels first.
    """
    return (
        is_computed_in_half(x)
        and torch.is_grad_enabled()
        and x.dim() == weight.dim()
        and (groups == 1 or x.dim() > 3 or weight.shape[1] > 1)
        and weight.numel() <= WEIGHT_SHARE * x.numel() * (1 + weight.shape[0] / max(1, x.shape[1]))
    )


def as_image(x: Tensor) -> Tensor:
    """Give [B, C, n] as [B, C, 1, n], and [B, C, h, w] as it is, with the channels last; copied if they were not."""
    image = x.unsqueeze(2) if x.dim() == 3 else x
    return image.contiguous(memory_format=torch.channels_last)


def is_channels_last_series(x: Tensor) -> bool:
    """Whether x [B, C, n] has its channels last, and not first as well."""
    return (
        x.dim() == 3
        and not x.is_contiguous()
        and x.unsqueeze(2).is_contiguous(memory_format=torch.channels_last)
    )
