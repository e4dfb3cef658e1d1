"""Metrics by name, computed by torchmetrics over a whole split at once, never as a mean over batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dashdeploy.data.losses import by_name
from dashdeploy.data.scaling.affine import Affine
from dashdeploy.data.task import Kind, Metric

if TYPE_CHECKING:
    import torchmetrics

# torchmetrics takes two seconds to import, which listing the tasks should not: each factory imports it.


def _classification(name: str, outputs: int, **options: object) -> torchmetrics.Metric:
    import torchmetrics.classification as of

    metric: torchmetrics.Metric = getattr(of, name)(outputs, **options)
    return metric


def _custom(name: str, outputs: int, **options: object) -> torchmetrics.Metric:  # noqa: ARG001
    from dashdeploy.data import custom_metrics

    metric: torchmetrics.Metric = getattr(custom_metrics, name)(**options)
    return metric


class Definition(NamedTuple):
    """How a metric is made for a number of outputs, and which way is up."""

    create: Callable[..., torchmetrics.Metric]
    higher_is_better: bool = True


METRICS: Mapping[Kind, Mapping[str, Definition]] = {
    "classification": {
        # Micro averaging: each sample counts once, however its class is represented.
        "accuracy": Definition(partial(_classification, "MulticlassAccuracy", average="micro")),
        "balanced_accuracy": Definition(partial(_classification, "MulticlassAccuracy", average="macro")),
        "f1": Definition(partial(_classification, "MulticlassF1Score", average="macro")),
        "auroc": Definition(partial(_custom, "MeanOverPresent", ranking="auroc", exclusive=True)),
        "map": Definition(partial(_custom, "MeanOverPresent", ranking="map", exclusive=True)),
    },
    "multi-label": {
        "auroc": Definition(partial(_custom, "MeanOverPresent", ranking="auroc", exclusive=False)),
        "map": Definition(partial(_custom, "MeanOverPresent", ranking="map", exclusive=False)),
        "f1": Definition(partial(_classification, "MultilabelF1Score", average="macro")),
        "accuracy": Definition(partial(_classification, "MultilabelAccuracy", average="micro")),
        "fnr": Definition(partial(_custom, "FalseNegativeRate"), higher_is_better=False),
    },
    "regression": {
        "mae": Definition(partial(_custom, "MeanAbsoluteError"), higher_is_better=False),
        "mse": Definition(partial(_custom, "MeanSquaredError"), higher_is_better=False),
        "rmse": Definition(partial(_custom, "MeanSquaredError", squared=False), higher_is_better=False),
        "r2": Definition(partial(_custom, "R2Score")),
        "relative_l2": Definition(partial(_custom, "RelativeL2"), higher_is_better=False),
    },
}
"""The metrics that each kind of task can have; the first is its own. Averages over classes and labels are macro."""


def metric_by_name(
    kind: Kind, outputs: int, name: str | None = None, *, units: Affine | None = None
) -> Metric:
    """The metric `name` of a task of `kind`, or its own.

    Args:
        kind: of the task.
        outputs: number of classes, labels or numbers.
        name: one of ``METRICS[kind]``.
        units: how the targets of a regression were scaled for training.

    Raises:
        InputError: it has no such metric.
    """
    chosen, definition = by_name("metric", METRICS, kind, name)
    create = partial(definition.create, outputs, **({} if units is None else {"units": units}))
    return Metric(chosen, create, definition.higher_is_better)
