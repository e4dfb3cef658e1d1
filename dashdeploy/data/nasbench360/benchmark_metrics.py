"""Metrics that one task of NAS-Bench-360 has for itself; torchmetrics has none of them.

The tasks import this module when a metric is made, and tell it how they mark their targets; it imports no task.
"""

from __future__ import annotations

import torch
import torchmetrics
from torch import Tensor

from dashdeploy.data.custom_metrics import MeanOverPresent

CONTACT, SEPARATION = 8.0, 24
"""Å between residues in contact, and their least distance along the chain for a long-range one."""
LEAST_DISTANCE = 0.01


class SeenAUROC(MeanOverPresent):
    """AUROC over all pixels but the ignored ones; targets [B, 1, h, w] of 0, 1 and `ignored`.

    Args:
        ignored: the target of a pixel that does not count.
    """

    def __init__(self, ignored: int) -> None:
        super().__init__("auroc", exclusive=False)
        self.ignored = ignored

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        seen = targets != self.ignored
        self.scores.append(logits[seen].sigmoid()[:, None])
        self.truths.append(targets[seen][:, None] > 0)


class ClipMAP(torchmetrics.Metric):
    """Mean average precision over clips, whose logits are the means of their chunks' ones.

    Targets are [B, labels + 1]: 0 and 1 per label, and the clip's number. A label that no clip has is left out.
    """

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("logits", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add one batch of chunks."""
        self.logits.append(logits.float())
        self.targets.append(targets)

    def compute(self) -> Tensor:
        """The mean over labels."""
        logits, targets = torch.cat(list(self.logits)), torch.cat(list(self.targets))
        _, clip = torch.unique(targets[:, -1], return_inverse=True)
        over_clips = MeanOverPresent("map", exclusive=False)
        over_clips.update(_means(logits, clip), _means(targets[:, :-1].float(), clip))
        return over_clips.compute()


class ContactMAE(torchmetrics.Metric):
    """MAE_8 of PDNet (Adhikari, Bioinformatics 2020): the error in Å over long-range contacts, a mean over proteins.

    A contact is a pair of residues that are within `CONTACT` of one another and `SEPARATION` apart along the chain.
    Both predictions of a pair, above and below the diagonal, are averaged. (The benchmark's code averages those above
    twice, so it weighs them 1 to 3; for a network that is nearly symmetric this is the same.)

    Targets are [B, 3, h, w]: distance in Å, the protein's number, and the pixel's place in it, row times `row` plus
    column; outputs [B, 1, h, w] are distances.

    Args:
        row: what a row counts for in a pixel's place, more than the longest protein has residues.
    """

    full_state_update = False
    pairs: list[Tensor]
    outputs: list[Tensor]
    distances: list[Tensor]

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row
        for name in ("pairs", "outputs", "distances"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch of windows."""
        distance, protein, at = targets[:, 0], targets[:, 1].long(), targets[:, 2].long()
        row, column = at // self.row, at % self.row
        counts = (distance <= CONTACT) & ((row - column).abs() >= SEPARATION)
        first, second = torch.minimum(row, column)[counts], torch.maximum(row, column)[counts]
        self.pairs.append(protein[counts] * self.row**2 + first * self.row + second)
        self.outputs.append(outputs[:, 0][counts].double().clamp_min(LEAST_DISTANCE))
        self.distances.append(distance[counts].double())

    def compute(self) -> Tensor:
        """The mean over the proteins that have such contacts; infinite if none has."""
        pairs, outputs, distances = (
            torch.cat(list(each)) for each in (self.pairs, self.outputs, self.distances)
        )
        if not len(pairs):
            return torch.tensor(torch.inf)
        pair, index = torch.unique(pairs, return_inverse=True)
        predicted, true = _means(outputs, index), _means(distances, index)
        _, protein = torch.unique(pair // self.row**2, return_inverse=True)
        return _means((predicted - true).abs(), protein).mean()


def _means(values: Tensor, group: Tensor) -> Tensor:
    """The mean of the rows of every group; groups are numbered from 0 without a gap."""
    counts = group.bincount()
    sums = values.new_zeros(len(counts), *values.shape[1:]).index_add_(0, group, values)
    return sums / counts.view(-1, *[1] * (values.ndim - 1))
