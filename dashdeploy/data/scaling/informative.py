"""Whether the levels and sizes of samples differ, and say anything of their classes."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from dashdeploy.data.scaling.within_samples import means_and_deviations

NEIGHBOURS = 5
PERMUTATIONS = 199
"""So that chance passes in one of 200 cases."""
MOST_SAMPLES = 2000
"""Of so many, spread over the data, it is found out."""
FEWEST_SAMPLES, MOST_NUMBERS = 16, 2**22
"""Of so few if they have more numbers together, since lazy samples are made for it."""
LEAST = 0.01
"""Levels and sizes that differ by less than a hundredth of a typical deviation were scaled before, and rounded."""
MOST_CODES = 8
"""A channel of so few different values was not measured: it tells letters, states or ranks."""


def how_by_itself(inputs: Tensor, targets: Tensor) -> Literal["samples", "sizes"]:
    """How samples are scaled that are to be scaled by themselves; arguments as for `sizes_tell_classes`."""
    return "sizes" if sizes_tell_classes(inputs, targets) else "samples"


def sizes_tell_classes(inputs: Tensor, targets: Tensor) -> bool:
    """Whether samples of like levels and sizes are of one class more often than by chance.

    Where they are not, a network with few samples to learn from learns by heart which level belongs to which class.
    The test permutes the classes (E. S. Edgington, P. Onghena, Randomization Tests, 2007); the statistic is the part
    of each sample's nearest neighbours, by the ranks of levels and sizes, that are of its class (M. F. Schilling,
    JASA 81, 1986).

    Args:
        inputs: [samples, channels, …], of the training split.
        targets: classes [samples].
    """
    from scipy.stats import rankdata  # takes a while

    step = -(-len(targets) // MOST_SAMPLES)
    inputs, targets = inputs[::step], targets[::step]
    # Of ranks, as most values may lie near each other beside a few.
    ranks = torch.from_numpy(rankdata(torch.cat(means_and_deviations(inputs), 1).numpy(), axis=0))
    distances = torch.cdist(ranks, ranks).fill_diagonal_(torch.inf)
    nearest = distances.topk(min(NEIGHBOURS, len(targets) - 1), largest=False).indices

    def alike(classes: Tensor) -> float:
        return float((classes[nearest] == classes[:, None]).double().mean())

    generator = torch.Generator().manual_seed(0)
    by_chance = (
        alike(targets[torch.randperm(len(targets), generator=generator)]) for _ in range(PERMUTATIONS)
    )
    return alike(targets) > max(by_chance)


def samples_differ(inputs: Tensor) -> bool:
    """Whether the levels or sizes of samples differ in any channel that was measured.

    Args:
        inputs: [samples, channels, …], of the training split; may be lazy.
    """
    shape = tuple(inputs.shape)
    looked_at = min(MOST_SAMPLES, max(FEWEST_SAMPLES, MOST_NUMBERS // math.prod(shape[1:])))
    inputs = inputs[:: -(-shape[0] // looked_at)]
    means, deviations = means_and_deviations(inputs)
    measured = torch.tensor([len(torch.unique(channel)) > MOST_CODES for channel in inputs.unbind(1)])
    typical = deviations.median(0).values.clamp_min(1e-12)
    spread = (each.std(0, correction=0) / typical for each in (means, deviations))
    return any(bool((each > LEAST)[measured].any()) for each in spread)
