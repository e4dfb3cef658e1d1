"""The metric of trained networks, and the one look at the test data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from dashdeploy.data.task import Metric, Split, Task
from dashdeploy.search.training.batches import TensorBatches, evaluation_batch

CPU = torch.device("cpu")


def evaluate(model: nn.Module, split: Split, metric: Metric) -> float:
    """Run `model` in evaluation mode over the whole of `split`.

    The metric sees every sample and is computed once: it is not a mean over batches.
    """
    return metric_of(metric, predictions(model, split))


def metric_of(metric: Metric, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """The metric of batches of (outputs, targets), all together."""
    score = metric.create()
    score.distributed_available_fn = lambda: False  # one process evaluates, the others wait
    for outputs, targets in batches:
        score = score.to(outputs.device)
        score.update(outputs, targets)
    return float(score.compute())


def predictions(model: nn.Module, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (outputs, targets) of `model` in evaluation mode, batch by batch, on its own device."""
    device = next(model.parameters()).device
    model.eval()
    for inputs, targets in TensorBatches(split, evaluation_batch(split, device)):
        with torch.no_grad():
            outputs = model(inputs.to(device))
        yield outputs, targets.to(device)


def scores_of(
    networks: Mapping[str, nn.Module],
    task: Task,
    *,
    before: Mapping[str, float | None] | None = None,
    device: torch.device = CPU,
) -> dict[str, dict[str, float | None]]:
    """The validation and test figures of trained networks; the only place that touches test data, if there are any.

    Args:
        networks: by name.
        task: the data and the metric.
        before: validation figures from before the networks learned from the validation data as well; None if they
            have not.
        device: where they are run; afterwards they are on the CPU again.
    """
    scores: dict[str, dict[str, float | None]] = {}
    for name, network in networks.items():
        network.to(device)
        scores[name] = {
            "validation": evaluate(network, task.validation, task.metric)
            if before is None
            else before.get(name),
            "test": None if task.test is None else evaluate(network, task.test, task.metric),
        }
        network.cpu()
    return scores
