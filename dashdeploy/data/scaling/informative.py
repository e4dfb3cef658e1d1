"""Whether the levels and sizes of samples say anything of their classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dashdeploy.data.scaling.within_samples import means_and_deviations

NEIGHBOURS = 5
PERMUTATIONS = 199
"""So that chance passes in one of 200 cases."""
MOST_SAMPLES = 2000
"""Of so many, spread over the data, it is found out."""


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
