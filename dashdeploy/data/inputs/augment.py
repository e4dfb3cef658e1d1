"""Changes of training inputs that leave their targets right, for `Task.augment`."""

from __future__ import annotations

import torch
from torch import Tensor


def circular_shift(inputs: Tensor) -> Tensor:
    """Start every series [B, channels, n] somewhere else: for closed outlines, which have no first point."""
    n = inputs.shape[-1]
    start = torch.randint(n, (len(inputs), 1), device=inputs.device)
    at = (torch.arange(n, device=inputs.device) + start) % n
    return inputs.gather(-1, at[:, None].expand_as(inputs))
