"""Batch norms' statistics of a network whose training has ended, over the training data as a whole.

Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021 (arXiv 2105.07576), section 3. Running averages over small
batches know little of how samples differ from one another: with ten curves of blood pressure in a batch, a ResNet had
22 % of the test data right by them and 93 % by statistics over all curves (docs/decisions.md).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dashdeploy.data.task import Split
from dashdeploy.search.training.batches import evaluation_batch, shuffled

MOST_BATCHES = 64
"""Of large data, so many are enough."""


def samples_seen(split: Split, count: int, device: torch.device) -> int:
    """How many of `count` samples, each like those of `split`, `recalibrate` looks at on `device`."""
    return min(count, MOST_BATCHES * evaluation_batch(split, device))


def recalibrate(network: nn.Module, split: Split) -> nn.Module:
    """Set the running statistics of all batch norms to those of `split`, and `network` to evaluation.

    Each layer sees what the layers before it give with the batch's own statistics, as in training, but of batches
    that are as large as evaluation has them, all of one size but for a sample; dropout is off, as in evaluation.

    Args:
        network: any; without batch norms that keep statistics nothing is done.
        split: what it was trained on.
    """
    network.eval()
    norms = [each for each in network.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    if not norms:
        return network
    device = next(network.parameters()).device
    count = len(split.targets)
    batches = -(-count // evaluation_batch(split, device))
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    try:
        for chosen in shuffled(count, 0, 0).tensor_split(batches)[:MOST_BATCHES]:
            if len(chosen) > 1:
                with torch.no_grad():
                    network(split.inputs[chosen].to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()
    return network
