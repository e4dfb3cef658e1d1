"""Batches of data that lie in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dashdeploy.tasks import Split

# Any two seeds below 2**32 and any two epochs below this give different orders.
EPOCHS_PER_SEED = 1_000_003


class TensorBatches:
    """Iterates over a split, whole batches at a time, indexing the tensors directly.

    A DataLoader collates sample by sample, which for series of 40 points costs more than the training step.

    Args:
        split: the data.
        batch_size: samples per batch.
        order: gives the current epoch's order, a permutation of indices; asked at the start of every epoch.
            None keeps the order of the data.
        share: the part of the batches that one epoch gives (at least one batch).
        drop_last: whether a last, smaller batch is left out, so that batch norm never sees a lone sample.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        order: Callable[[], Tensor] | None = None,
        share: float = 1.0,
        drop_last: bool = False,
    ) -> None:
        self.split, self.batch_size, self.order = split, batch_size, order
        count = len(split.targets)
        batches = count // batch_size if drop_last else -(-count // batch_size)
        self.batches = max(1, round(share * batches))

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets) batch by batch."""
        inputs, targets = self.split
        indices = self.order() if self.order else None
        for batch in range(self.batches):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            chosen = part if indices is None else indices[part]
            yield inputs[chosen], targets[chosen]


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of `count` indices that depends on the seed and the epoch alone, so it can be resumed."""
    generator = torch.Generator().manual_seed(seed * EPOCHS_PER_SEED + epoch)
    return torch.randperm(count, generator=generator)


def joined(*splits: Split) -> Split:
    """All samples of several splits, one split after the other."""
    return Split(torch.cat([each.inputs for each in splits]), torch.cat([each.targets for each in splits]))
