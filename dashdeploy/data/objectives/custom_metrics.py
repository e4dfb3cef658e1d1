"""Metrics that torchmetrics lacks, or whose answer for an absent class would mislead.

All are torchmetrics metrics themselves. Regression metrics see the outputs and targets in the data's own units:
what was scaled for training is scaled back first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.functional.regression import r2_score

from dashdeploy.data.inputs.scaling import Affine
from dashdeploy.data.objectives.losses import relative_errors

Ranking = Literal["auroc", "map"]
_RANKINGS: dict[Ranking, Callable[..., Tensor]] = {"auroc": binary_auroc, "map": binary_average_precision}


class MeanOverPresent(torchmetrics.Metric):
    """AUROC or average precision of every class against the rest; the mean over the classes that are there.

    A class without a positive or without a negative has no AUROC and no average precision. torchmetrics counts
    it as 0; here, as in NAS-Bench-360, it is left out. If that holds for all, the result is 0.

    Args:
        ranking: ``auroc`` or ``map``.
        exclusive: whether targets are class indices [B, …] rather than 0 and 1 [B, labels, …].
    """

    full_state_update = False
    scores: list[Tensor]
    truths: list[Tensor]

    def __init__(self, ranking: Ranking, *, exclusive: bool) -> None:
        super().__init__()
        self.ranking, self.exclusive = _RANKINGS[ranking], exclusive
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("truths", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        scores = logits.softmax(1) if self.exclusive else logits.sigmoid()
        self.scores.append(scores.movedim(1, -1).flatten(0, -2))
        if self.exclusive:
            classes = torch.arange(logits.shape[1], device=targets.device)
            self.truths.append(targets.flatten()[:, None] == classes)
        else:
            self.truths.append(targets.movedim(1, -1).flatten(0, -2) > 0)

    def compute(self) -> Tensor:
        """The mean over classes."""
        scores, truths = torch.cat(list(self.scores)), torch.cat(list(self.truths))
        there = truths.any(0) & ~truths.all(0)
        values = [self.ranking(scores[:, k], truths[:, k].long()) for k in there.nonzero().flatten().tolist()]
        return torch.stack(values).mean() if values else scores.new_zeros(())


class FalseNegativeRate(torchmetrics.Metric):
    """The share of positives, over all samples and positions, whose logit is below 0."""

    full_state_update = False
    missed: Tensor
    positives: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("missed", default=torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("positives", default=torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        positive = targets > 0
        self.missed += (positive & (logits <= 0)).sum()
        self.positives += positive.sum()

    def compute(self) -> Tensor:
        """The rate; 0 if there is no positive."""
        return self.missed / self.positives.clamp_min(1)


class MeanError(torchmetrics.Metric):
    """The mean of an error over all numbers, or over all samples.

    Args:
        errors: maps (outputs, targets) to the errors whose mean is taken.
        units: how targets were scaled for training.
        root: whether the root of the mean is reported.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(
        self, errors: Callable[[Tensor, Tensor], Tensor], units: Affine | None = None, *, root: bool = False
    ) -> None:
        super().__init__()
        self.errors, self.units, self.root = errors, units, root
        self.add_state("total", default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", default=torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        if self.units is not None:
            outputs, targets = self.units.undo(outputs), self.units.undo(targets)
        errors = self.errors(outputs.double(), targets.double())
        self.total += errors.sum()
        self.count += errors.numel()

    def compute(self) -> Tensor:
        """The mean."""
        mean = self.total / self.count
        return mean.sqrt() if self.root else mean


class R2(torchmetrics.Metric):
    """The coefficient of determination over all numbers together: 1 - squared error / variance.

    Args:
        units: has no influence; scaling the targets leaves it as it is.
    """

    full_state_update = False
    outputs: list[Tensor]
    targets: list[Tensor]

    def __init__(self, units: Affine | None = None) -> None:  # noqa: ARG002
        super().__init__()
        self.add_state("outputs", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        self.outputs.append(outputs.flatten())
        self.targets.append(targets.flatten())

    def compute(self) -> Tensor:
        """The coefficient."""
        score: Tensor = r2_score(torch.cat(list(self.outputs)), torch.cat(list(self.targets)))
        return score


def mean_absolute_error(units: Affine | None = None) -> torchmetrics.Metric:
    """|outputs - targets|, over all numbers."""
    return MeanError(lambda outputs, targets: (outputs - targets).abs(), units)


def mean_squared_error(units: Affine | None = None, *, root: bool = False) -> torchmetrics.Metric:
    """(outputs - targets)², over all numbers; its root if `root`."""
    return MeanError(lambda outputs, targets: (outputs - targets).square(), units, root=root)


def relative_l2(units: Affine | None = None) -> torchmetrics.Metric:
    """|outputs - targets| / |targets| per sample, the mean over samples."""
    return MeanError(relative_errors, units)


def create(name: str, **options: Any) -> torchmetrics.Metric:  # noqa: ANN401
    """Make what this module calls `name`."""
    metric: torchmetrics.Metric = globals()[name](**options)
    return metric
