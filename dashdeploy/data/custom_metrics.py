"""Metrics that torchmetrics lacks, or that need its own with other inputs or another answer for an absent class.

torchmetrics counts, sums and synchronizes; what is added here is said in each docstring. Regression metrics see
outputs and targets in the data's own units: what was scaled for training is scaled back first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.classification import BinaryStatScores
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from dashdeploy.data.losses import relative_errors
from dashdeploy.data.scaling.affine import Affine

Ranking = Literal["auroc", "map"]
_RANKINGS: dict[Ranking, Callable[..., Tensor]] = {"auroc": binary_auroc, "map": binary_average_precision}


class MeanOverPresent(torchmetrics.Metric):
    """AUROC or average precision of every class against the rest; the mean over the classes that are there.

    A class without a positive or without a negative has no AUROC and no average precision. torchmetrics' macro
    averages count it as 0 or as 1; here, as in NAS-Bench-360, it is left out. If that holds for all, the result is 0.
    torchmetrics also guesses batch by batch whether it is given logits; here they always are.

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


class FalseNegativeRate(BinaryStatScores):
    """The share of positives, over all samples and positions, whose logit is at most 0; 0 without positives.

    torchmetrics has the recall, whose difference from 1 loses digits where few positives are missed; its counts
    are used here.
    """

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        super().update((logits > 0).long(), (targets > 0).long())

    def compute(self) -> Tensor:
        """The rate."""
        _, _, _, missed, positives = super().compute()
        rate: Tensor = missed / positives.clamp_min(1)
        return rate


class _OverAllNumbers(torchmetrics.Metric):
    """Lets a metric of torchmetrics see all numbers as one series, in the data's own units and in double precision.

    torchmetrics sums in single precision, of which a long split or targets far from 0 use up the digits.

    Args:
        units: how outputs and targets were scaled for training.
        options: those of the metric.
    """

    def __init__(self, units: Affine | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.units = units
        self.set_dtype(torch.float64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch of the same shape each."""
        if self.units is not None:
            outputs, targets = self.units.undo(outputs), self.units.undo(targets)
        super().update(outputs.double().flatten(), targets.double().flatten())  # type: ignore[safe-super]


class MeanAbsoluteError(_OverAllNumbers, torchmetrics.MeanAbsoluteError):
    """|outputs - targets|, the mean over all numbers."""


class MeanSquaredError(_OverAllNumbers, torchmetrics.MeanSquaredError):
    """(outputs - targets)², the mean over all numbers; its root with ``squared=False``."""


class R2Score(_OverAllNumbers, torchmetrics.R2Score):
    """The coefficient of determination over all numbers together: 1 - squared error / variance.

    Args:
        units: without influence. The numbers stay as they were scaled for training, so that several outputs count
            alike, whatever their units.
    """

    def __init__(self, units: Affine | None = None) -> None:  # noqa: ARG002
        super().__init__()


class RelativeL2(torchmetrics.MeanMetric):
    """|outputs - targets| / |targets| per sample, the mean over samples; torchmetrics has no such error.

    Args:
        units: how outputs and targets were scaled for training.
    """

    def __init__(self, units: Affine | None = None) -> None:
        super().__init__(nan_strategy="disable")  # an error that is not a number must show
        self.units = units
        self.set_dtype(torch.float64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:  # type: ignore[override]
        """Add one batch of the same shape each."""
        if self.units is not None:
            outputs, targets = self.units.undo(outputs), self.units.undo(targets)
        super().update(relative_errors(outputs.double(), targets.double()))
