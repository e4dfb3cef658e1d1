"""The metric of a trained network on one split."""

from __future__ import annotations

import torch
from torch import nn

from dashdeploy.search.batches import TensorBatches
from dashdeploy.tasks import Metric, Split

BATCH_SIZE = 512


def evaluate(model: nn.Module, split: Split, metric: Metric) -> float:
    """Run `model` in evaluation mode over the whole of `split`.

    The metric sees every sample and is computed once: it is not a mean over batches.
    """
    device = next(model.parameters()).device
    score = metric.create().to(device)
    model.eval()
    with torch.inference_mode():
        for inputs, targets in TensorBatches(split, BATCH_SIZE):
            score.update(model(inputs.to(device)), targets.to(device))
    return float(score.compute())
