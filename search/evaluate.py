"""The metric of a trained network on one split."""

from __future__ import annotations

import torch
from torch import nn

from dashdeploy.search.batches import TensorBatches, evaluation_batch
from dashdeploy.tasks import Metric, Split


def evaluate(model: nn.Module, split: Split, metric: Metric) -> float:
    """Run `model` in evaluation mode over the whole of `split`.

    The metric sees every sample and is computed once: it is not a mean over batches.
    """
    device = next(model.parameters()).device
    score = metric.create().to(device)
    score.distributed_available_fn = lambda: False  # one process evaluates, the others wait
    model.eval()
    with torch.inference_mode():
        for inputs, targets in TensorBatches(split, evaluation_batch(split)):
            score.update(model(inputs.to(device)), targets.to(device))
    return float(score.compute())
