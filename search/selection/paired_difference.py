"""How sure it is that one network is better than another, by any metric or loss.

Both are judged on the same held-out samples, so what counts is the error of the difference, which is smaller than
that of either figure. It is estimated in two ways, and the larger of them counts:

- over samples, by a delete-a-group jackknife (Kott, "The delete-a-group jackknife", Journal of Official Statistics
  17, 2001): the figure is computed again without each of G groups of samples. Of a mean and groups of one sample,
  this is the textbook's standard error of a mean of paired differences. It does not see that a training ends
  elsewhere from other initial weights;
- over trainings, where there are several: the standard error of the mean of their differences. It sees both, but
  a few trainings may agree by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import torch
from torch import Tensor

from dashdeploy.artifacts.json_files import FrozenModel

GROUPS = 20
GROUP_SEED = 0


class Figure(FrozenModel):
    """A metric or loss of one training on the samples that it held out.

    Attributes:
        value: on all of them.
        without: on all but those of each group; empty if there is one sample.
    """

    value: float
    without: tuple[float, ...]


def figure_of(compute: Callable[[Tensor, Tensor], float], outputs: Tensor, targets: Tensor) -> Figure:
    """What `compute` gives for all samples, and without each group of them.

    Args:
        compute: maps (outputs, targets) of some samples to a number.
        outputs: [samples, …].
        targets: [samples, …].
    """
    groups = groups_of(len(targets))
    kept = [groups != each for each in range(len(set(groups.tolist())))]
    return Figure(
        value=compute(outputs, targets),
        without=tuple(compute(outputs[some], targets[some]) for some in kept),
    )


def groups_of(count: int) -> Tensor:
    """The group [count] of each of `count` samples: `GROUPS`, as even as can be, drawn always alike.

    Fewer samples are groups of one; a lone one is in none, since nothing would be left without it.
    """
    if count < 2:
        return torch.empty(0, dtype=torch.long)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(GROUP_SEED))
    return order % min(GROUPS, count)


def difference(candidate: Sequence[Figure], reference: Sequence[Figure]) -> float:
    """The mean over trainings of candidate - reference."""
    return fmean(a.value - b.value for a, b in zip(candidate, reference, strict=True))


def standard_error(candidate: Sequence[Figure], reference: Sequence[Figure]) -> float:
    """The error of `difference`; infinite where nothing can be said about it.

    Args:
        candidate: a figure per training.
        reference: of trainings on the same samples, in the same order.
    """
    pairs = list(zip(candidate, reference, strict=True))
    estimates = []
    if all(len(figure.without) > 1 for pair in pairs for figure in pair):
        estimates.append(_over_samples(pairs))
    if len(pairs) > 1:
        estimates.append(stdev([a.value - b.value for a, b in pairs]) / math.sqrt(len(pairs)))
    known = bool(estimates) and all(math.isfinite(each) for each in estimates)
    return max(estimates) if known else math.inf


def _over_samples(pairs: Sequence[tuple[Figure, Figure]]) -> float:
    """The jackknife's. Trainings hold out different samples, so the variance of their mean is from their sum."""
    variance = 0.0
    for a, b in pairs:
        without = [x - y for x, y in zip(a.without, b.without, strict=True)]
        mean, groups = fmean(without), len(without)
        variance += (groups - 1) / groups * sum((each - mean) ** 2 for each in without)
    return math.sqrt(variance) / len(pairs)
