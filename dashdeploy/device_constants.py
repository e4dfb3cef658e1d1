"""Numbers that a training step needs, put on a device once.

To make a tensor of Python's numbers on a GPU, the host waits for everything that it has launched there before. In a
step that costs more than the numbers are worth.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn


def constant_like(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Numbers as a vector of the type and on the device of `like`; always the same tensor, so never write to it."""
    if type(like) not in (
        Tensor,
        nn.Parameter,
    ):  # what traces a program puts a stand-in of its own in place of each
        return like.new_tensor(values)
    return _constant(values, like.dtype, like.device)


@lru_cache(maxsize=512)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        return torch.tensor(values, dtype=dtype, device=device)
