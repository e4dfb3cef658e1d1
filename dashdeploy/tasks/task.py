"""What is learned: data, loss and metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    import torchmetrics


class Split(NamedTuple):
    """One part of the data.

    Attributes:
        inputs: [samples, channels, length], float32.
        targets: class indices [samples], or [samples, length] for dense prediction, int64.
    """

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Metric:
    """How a prediction is judged.

    Attributes:
        name: as it appears in ``metrics.json``, such as ``accuracy``.
        create: makes a new torchmetrics metric that takes (logits, targets).
        higher_is_better: whether more is better.
    """

    name: str
    create: Callable[[], torchmetrics.Metric]
    higher_is_better: bool


@dataclass(frozen=True)
class Task:
    """A data set, what is to be predicted from it, and how that is judged.

    Attributes:
        name: the built-in task's name, or the data file's.
        input_shape: one sample's shape without the batch, (channels, length).
        dense: whether every position is predicted, or each sample as a whole.
        outputs: number of classes, or of output channels.
        labels: class names by index.
        loss: maps (logits, targets) to a scalar.
        metric: what is reported, and what the best epoch is chosen by.
        train: what is learned from.
        validation: what choices are made by.
        test: what the final result is measured on, once.
        source: where the data came from (a file with its sha256, or a package), for the record.
    """

    name: str
    input_shape: tuple[int, ...]
    dense: bool
    outputs: int
    labels: tuple[str, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Metric
    train: Split
    validation: Split
    test: Split
    source: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Number of spatial axes: 1 for series, 2 for images."""
        return len(self.input_shape) - 1


def accuracy(classes: int) -> Metric:
    """The share of samples whose largest logit is the target's."""
    return Metric("accuracy", partial(_micro_accuracy, classes), higher_is_better=True)


def _micro_accuracy(classes: int) -> torchmetrics.Metric:
    import torchmetrics  # it takes two seconds, which listing the tasks should not

    # Micro averaging: each sample counts once, however its class is represented.
    return torchmetrics.classification.MulticlassAccuracy(classes, average="micro")


def classification(
    name: str,
    labels: tuple[str, ...],
    *,
    train: Split,
    validation: Split,
    test: Split,
    source: Mapping[str, str],
) -> Task:
    """A task that gives every sample one of `labels`: cross-entropy and accuracy."""
    return Task(
        name=name,
        input_shape=tuple(train.inputs.shape[1:]),
        dense=False,
        outputs=len(labels),
        labels=labels,
        loss=F.cross_entropy,
        metric=accuracy(len(labels)),
        train=train,
        validation=validation,
        test=test,
        source=source,
    )


def hold_out(data: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split `data` into training and validation, class by class, the same way for the same seed.

    Args:
        data: samples with class indices [samples].
        share: the part of every class that is held out, rounded; a class of one sample stays in training.
        seed: seed of the choice.

    Returns:
        Training and validation, each in the order of `data`.
    """
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(data.targets), dtype=torch.bool)
    for label in torch.unique(data.targets).tolist():
        members = (data.targets == label).nonzero().flatten()
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (
        Split(data.inputs[~held], data.targets[~held]),
        Split(data.inputs[held], data.targets[held]),
    )
