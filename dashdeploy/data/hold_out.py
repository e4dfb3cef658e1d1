"""Holding a part of the training data out for validation."""

from __future__ import annotations

import torch

from dashdeploy.data.task import Kind, Split


def hold_out(data: Split, share: float, seed: int, kind: Kind = "classification") -> tuple[Split, Split]:
    """Split `data` into training and validation, the same way for the same seed.

    Args:
        data: samples with their targets. Class indices [samples] are split class by class.
        share: the part (of every class) that is held out, rounded; a class of one sample stays in training.
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
    for members in groups:
        chosen = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[torch.randperm(len(members), generator=generator)[:chosen]]] = True
    return (
        Split(data.inputs[~held], data.targets[~held]),
        Split(data.inputs[held], data.targets[held]),
    )
