"""The metric of a trained network on one split."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dashdeploy.data.task import Metric, Split
from dashdeploy.search.training.batches import TensorBatches, evaluation_batch


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
    for inputs, targets in TensorBatches(split, evaluation_batch(split)):
        with torch.no_grad():
            outputs = model(inputs.to(device))
        yield outputs, targets.to(device)
