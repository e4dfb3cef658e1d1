"""What is learned: data, loss and metric; and what is held out of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from dashdeploy.data.scaling.scaling import Scaling

if TYPE_CHECKING:
    import torchmetrics

Kind = Literal["classification", "multi-label", "regression"]
KINDS: tuple[Kind, ...] = ("classification", "multi-label", "regression")


class Split(NamedTuple):
    """One part of the data.

    Attributes:
        inputs: [samples, channels, length] or [samples, channels, height, width], float32; `LazyInputs` where they
            do not fit in memory.
        targets: by the kind of the task. classification: class indices [samples], int64; multi-label: 0 and 1
            [samples, labels], int64; regression: numbers [samples, outputs], float32. Dense tasks have the
            inputs' spatial axes behind these.

    Example:
        Ten series of one channel, of two classes::

            split = dashdeploy.Split(torch.randn(10, 1, 100), torch.arange(10) % 2)
    """

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Attributes:
        name: the name in ``metrics.json``, such as ``accuracy``.
        create: makes a new torchmetrics metric that takes (outputs of the network, targets).
        higher_is_better: whether a larger value is better.

    Example:
        For ``dashdeploy.load_task("module:factory")``, whose factory returns a `Task`::

            metric = dashdeploy.Metric("accuracy", lambda: torchmetrics.Accuracy("multiclass", num_classes=3), True)
    """

    name: str
    create: Callable[[], torchmetrics.Metric]
    higher_is_better: bool


@dataclass(frozen=True)
class Task:
    """A data set, what to predict from it, and the metric.

    Attributes:
        name: the built-in task's name, or the data file's.
        input_shape: one sample's shape without the batch, (channels, length) or (channels, height, width), as the
            network gets it.
        dense: whether every position is predicted, or each sample as a whole.
        outputs: number of classes, of labels, or of numbers.
        labels: class names by index; empty for regression.
        loss: maps (outputs of the network, targets) to a scalar.
        metric: what is reported, and what the best epoch is chosen by.
        train: the samples to learn from.
        validation: the samples that choices are made with; always a part of the training data.
        test: the samples that the final result is measured on, once; None without such samples.
        source: where the data came from (a file with its sha256, or a package), for the record.
        kind: what is predicted: one class of several, any number of labels, or numbers.
        settings: search settings that suit the data, by preset; the user's own come before them.
        scaling: how the splits' inputs and targets were scaled from what the user has; the run keeps it, and its
            model takes and gives numbers as they are.
        augment: changes a batch of training inputs at random in a way that leaves the targets right; None is nothing.
        notes: what the readers did with the data, in lines; a search passes them to `progress` at its start.

    Example:
        `load_task`, `load_data` and `task_from` make one::

            task = dashdeploy.load_task("mnist1d")
            print(task.input_shape, task.outputs, len(task.train.inputs))
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
    test: Split | None
    source: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = "classification"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scaling: Scaling = field(default_factory=Scaling)
    augment: Callable[[Tensor], Tensor] | None = None
    notes: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """Number of spatial axes: 1 for series, 2 for images."""
        return len(self.input_shape) - 1

    @property
    def classifies_samples(self) -> bool:
        """Whether each sample as a whole has a class or labels."""
        return self.kind in ("classification", "multi-label") and not self.dense

    @property
    def given_shape(self) -> tuple[int, ...]:
        """One sample's shape as the user has it; its channels can be fewer than the network gets."""
        return self.scaling.unscaled_shape(self.input_shape)

    def unscaled(self, split: Split) -> Split:
        """`split` as the user has it, for the model that the run gives out."""
        scaling = self.scaling
        return Split(scaling.unscale_inputs(split.inputs), scaling.unscale_outputs(split.targets))


def hold_out(data: Split, share: float, seed: int, kind: Kind = "classification") -> tuple[Split, Split]:
    """Split `data` into training and validation, the same way for the same seed.

    Args:
        data: samples with their targets. Class indices [samples] are divided as evenly over the classes as can be.
        share: the part of all samples that is held out, rounded, and at least one. Every class keeps a sample in
            training; where not every class can have one held out, chance decides which do.
        seed: seed of the choice.
        kind: what the targets are.

    Returns:
        Training and validation, each in the order of `data`.
    """
    generator = torch.Generator().manual_seed(seed)
    count = len(data.targets)
    held = torch.zeros(count, dtype=torch.bool)
    if kind == "classification" and data.targets.dim() == 1:
        groups = [
            (data.targets == label).nonzero().flatten() for label in torch.unique(data.targets).tolist()
        ]
    else:
        groups = [torch.arange(count)]
    seats = _seats([len(members) for members in groups], share, generator)
    for members, chosen in zip(groups, seats, strict=True):
        held[members[torch.randperm(len(members), generator=generator)[:chosen]]] = True
    return (
        Split(data.inputs[~held], data.targets[~held]),
        Split(data.inputs[held], data.targets[held]),
    )


def _seats(sizes: list[int], share: float, generator: torch.Generator) -> list[int]:
    """How many of each class are held out: its quota, by largest remainders; of equal ones, those that are drawn."""
    quotas = torch.tensor([share * size for size in sizes], dtype=torch.float64)
    room = torch.tensor([size - 1 for size in sizes])
    seats = torch.minimum(quotas.floor().long(), room)
    missing = min(max(1, round(share * sum(sizes))), int(room.sum())) - int(seats.sum())
    drawn = torch.randperm(len(sizes), generator=generator)
    # A difference of rounding is none.
    remainders = (quotas - seats).mul(1e6).round()
    order = drawn[remainders[drawn].argsort(descending=True, stable=True)]
    while missing > 0:
        for each in order[(seats < room)[order]].tolist()[:missing]:
            seats[each] += 1
            missing -= 1
    return [int(each) for each in seats]
