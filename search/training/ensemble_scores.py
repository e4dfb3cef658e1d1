"""What the members of an ensemble are worth together, and how well each knows how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from dashdeploy.backbones.ensemble import Ensemble
from dashdeploy.data.task import Split, Task
from dashdeploy.search.training.evaluate import evaluate, predictions

ECE_BINS = 15


def ensemble_scores(
    members: Sequence[nn.Module],
    task: Task,
    searched: dict[str, float | None],
    *,
    refit: bool,
) -> dict[str, Any]:
    """The content of ``ensemble`` in ``metrics.json``.

    Args:
        members: the trained networks, the searched one first.
        task: the data and the metric.
        searched: the figures of the first member.
        refit: whether they learned from the validation data as well, which say nothing about them then.

    Returns:
        The number of members, the ensemble's figures, the expected calibration error of the searched network and of
        the ensemble (on test data, or on validation data where there are none; None where neither is left or no
        classes are predicted), and the test figure of each member.
    """
    together = Ensemble(members, task.kind)
    test = task.test
    judged = test or (None if refit else task.validation)
    return {
        "members": len(members),
        "validation": None if refit else evaluate(together, task.validation, task.metric),
        "test": None if test is None else evaluate(together, test, task.metric),
        "ece": {
            name: None
            if judged is None or task.kind != "classification"
            else calibration_error(network, judged, task.outputs)
            for name, network in (("searched", members[0]), ("ensemble", together))
        },
        "members_test": [
            searched["test"],
            *(None if test is None else evaluate(member, test, task.metric) for member in members[1:]),
        ],
    }


def calibration_error(model: nn.Module, split: Split, classes: int) -> float:
    """The expected calibration error of a classifier: how far its confidence is from its accuracy, on average.

    Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017 (equation 3), with 15 bins of
    equal width.

    Args:
        model: gives logits, or logarithms of probabilities, [B, classes, …].
        split: samples and their classes.
        classes: how many there are.
    """
    from torchmetrics.classification import MulticlassCalibrationError

    error = MulticlassCalibrationError(classes, n_bins=ECE_BINS, norm="l1")
    error.distributed_available_fn = lambda: False  # one process evaluates, the others wait
    for outputs, targets in predictions(model, split):
        error.update(
            outputs.softmax(1), targets
        )  # it would take logits that all lie in 0 to 1 for probabilities
    return float(error.compute())
