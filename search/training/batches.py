"""Batches of data that lie in memory, or are read while the batch before is computed with; and where the data lies.

What fits on a GPU lies there and needs no copy in a step. Of anything else a thread gathers the next batch in pinned
memory while the last one is computed with, and its copy to the GPU does not hold up the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from dashdeploy.data.lazy_inputs import is_lazy, joined_inputs
from dashdeploy.data.task import Split

MOST_SAMPLES = 512
"""Of a batch that is only evaluated."""

MOST_POSITIONS = {"cuda": 2**20}
"""Of all samples of such a batch, by the device's type; large images would not fit in memory."""

MOST_POSITIONS_ELSEWHERE = 2**17
"""A processor gains nothing by more: a layer of 48 channels takes 25 MB with them, which training has had already."""

MOST_OF_FREE = 0.25
"""Of the GPU's free memory; activations and gradients need the rest."""

# Any two seeds below 2**32 and any two epochs below this give different orders.
EPOCHS_PER_SEED = 1_000_003


class TensorBatches:
    """Iterates over a split, whole batches at a time, indexing the tensors directly.

    A DataLoader collates sample by sample, which for series of 40 points costs more than the training step.

    Args:
        split: the data.
        batch_size: samples per batch.
        order: gives the order of a pass of the current epoch, a permutation of indices; asked at its start with the
            number of the pass. None keeps the order of the data.
        passes: over the data, in one epoch.
        share: the part of the batches that a pass gives (at least one batch).
        drop_last: whether a last, smaller batch is left out, so that batch norm never sees a lone sample.
        rank: of this process, among those that share every batch.
        processes: how many these are.
        pinned_for: the GPU for which batches are gathered in pinned memory, in a thread; None for data that lies
            where it is computed with.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        order: Callable[[int], Tensor] | None = None,
        passes: int = 1,
        share: float = 1.0,
        drop_last: bool = False,
        rank: int = 0,
        processes: int = 1,
        pinned_for: torch.device | None = None,
    ) -> None:
        self.split, self.batch_size, self.order, self.passes = split, batch_size, order, passes
        self.rank, self.processes, self.pinned_for = rank, processes, pinned_for
        count = len(split.targets)
        batches = count // batch_size if drop_last else -(-count // batch_size)
        self.batches = max(1, round(share * batches))

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.passes * self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets) batch by batch, pass by pass."""
        targets = self.split.targets
        chosen = [each for each in self._chosen() if _count(each, len(targets))]
        if is_lazy(self.split.inputs) or self.pinned_for is not None:
            yield from _read_ahead(self._batch, chosen, self.pinned_for)
        else:
            yield from map(self._batch, chosen)

    def _batch(self, chosen: slice | Tensor) -> tuple[Tensor, Tensor]:
        batch = self.split.inputs[chosen], self.split.targets[chosen]
        return batch if self.pinned_for is None else (batch[0].pin_memory(), batch[1].pin_memory())

    def _chosen(self) -> Iterator[slice | Tensor]:
        """The samples of every batch of an epoch."""
        for number in range(self.passes):
            # Where the data is: a copy of every batch's own part would hold up the host each time.
            yield from self._pass(self.order(number).to(self.split.targets.device) if self.order else None)

    def _pass(self, indices: Tensor | None) -> Iterator[slice | Tensor]:
        for batch in range(self.batches):
            # Every batch is dealt out like cards.
            part = slice(batch * self.batch_size + self.rank, (batch + 1) * self.batch_size, self.processes)
            yield part if indices is None else indices[part]


def _count(chosen: slice | Tensor, samples: int) -> int:
    return len(range(*chosen.indices(samples))) if isinstance(chosen, slice) else len(chosen)


def _read_ahead(
    read: Callable[[slice | Tensor], tuple[Tensor, Tensor]],
    chosen: Sequence[slice | Tensor],
    device: torch.device | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches one after the other; the next one is read while the last one is computed with."""

    def begin() -> None:
        if device is not None:  # a new thread would otherwise take its pinned memory by way of the first GPU
            torch.cuda.set_device(device)

    with ThreadPoolExecutor(1, initializer=begin) as reader:
        coming = [reader.submit(read, each) for each in chosen[:1]]
        for following in [*chosen[1:], None]:
            batch = coming.pop().result() if coming else None
            if following is not None:
                coming.append(reader.submit(read, following))
            if batch is not None:
                yield batch


def evaluation_batch(split: Split, device: torch.device) -> int:
    """Samples per batch where no gradient is needed, on `device`."""
    positions = math.prod(split.inputs.shape[2:])
    most = MOST_POSITIONS.get(device.type, MOST_POSITIONS_ELSEWHERE)
    return max(1, min(MOST_SAMPLES, most // positions))


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of `count` indices that depends on the seed and the epoch alone, so it can be resumed."""
    generator = torch.Generator().manual_seed(seed * EPOCHS_PER_SEED + epoch)
    return torch.randperm(count, generator=generator)


def joined(*splits: Split) -> Split:
    """All samples of several splits, one split after the other."""
    targets = torch.cat([each.targets for each in splits])
    return Split(joined_inputs([each.inputs for each in splits]), targets)


def placed(split: Split, device: torch.device, free: int | None = None) -> Split:
    """The split on a GPU if it fits there, otherwise as it is.

    Args:
        split: in the host's memory, or made when it is asked for.
        device: where it is computed with; on anything but a GPU the split stays as it is.
        free: bytes that are free there; None asks the driver.
    """
    if (device.type != "cuda" and free is None) or is_lazy(split.inputs):
        return split
    size = sum(tensor.numel() * tensor.element_size() for tensor in split)
    available = int(torch.cuda.mem_get_info(device)[0]) if free is None else free
    if size > MOST_OF_FREE * available:
        return split
    return Split(*(tensor.to(device) for tensor in split))


def pinned_for(split: Split, device: torch.device) -> torch.device | None:
    """The GPU to which batches of the split are copied one by one; None where none are."""
    copied = device.type == "cuda" and (is_lazy(split.inputs) or not split.inputs.is_cuda)
    return device if copied else None


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the host's on `device`, without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
