"""Where the data of a training lies: on the GPU if it fits there, otherwise in pinned batches.

What lies on the GPU needs no copy in a step. Of anything else a thread gathers the next batch in pinned memory while
the last one is computed with, and its copy to the GPU does not hold up the host.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dashdeploy.data.lazy_inputs import is_lazy
from dashdeploy.data.task import Split

MOST_OF_FREE = 0.25
"""Of the GPU's free memory; activations and gradients need the rest."""


def placed(split: Split, device: torch.device, free: int | None = None) -> Split:
    """The split on a GPU if it fits there, otherwise as it is.

    Args:
        split: in the host's memory, or made when it is asked for.
        device: where it is computed with; on anything but a GPU the split stays as it is.
        free: bytes that are free there; None asks the driver.
    """
    if (device.type != "cuda" and free is None) or is_lazy(split.inputs):
        return split
    size = sum(tensor.numel() * tensor.element_size() for tensor in split)
    available = int(torch.cuda.mem_get_info(device)[0]) if free is None else free
    if size > MOST_OF_FREE * available:
        return split
    return Split(*(tensor.to(device) for tensor in split))


def pinned_for(split: Split, device: torch.device) -> torch.device | None:
    """The GPU to which batches of the split are copied one by one; None where none are."""
    copied = device.type == "cuda" and (is_lazy(split.inputs) or not split.inputs.is_cuda)
    return device if copied else None


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the host's on `device`, without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
