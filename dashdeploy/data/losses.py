"""Losses by name, and the choice of a loss or metric by its name.

A loss maps (outputs of the network, targets) to a scalar, the mean over samples. Outputs are
logits, [B, classes, …] or [B, labels, …], or predicted numbers [B, outputs, …].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.data.scaling.affine import Affine
from dashdeploy.data.task import Kind
from dashdeploy.device_constants import constant_like
from dashdeploy.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]
Choice = TypeVar("Choice")


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Of the right class; targets are class indices [B, …]."""
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def focal(logits: Tensor, targets: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Cross-entropy times (1 - p)^gamma, p the right class's probability.

    Lin et al., "Focal loss for dense object detection" (arXiv 1708.02002, equation 4), without its alpha.
    """
    entropy = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - (-entropy).exp()) ** gamma * entropy).mean()


def binary_cross_entropy(logits: Tensor, targets: Tensor, *, positive_weight: float = 1.0) -> Tensor:
    """Of every label by itself; targets are 0 and 1 [B, labels, …].

    Args:
        logits: the network's outputs.
        targets: 0 and 1.
        positive_weight: how many negatives a positive counts for.
    """
    return F.binary_cross_entropy_with_logits(
        logits, targets.to(logits.dtype), pos_weight=constant_like((positive_weight,), logits)
    )


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(outputs, targets)


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(outputs, targets)


def huber(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared below an error of 1, absolute above (Huber 1964)."""
    return F.huber_loss(outputs, targets)


def relative_l2(outputs: Tensor, targets: Tensor, *, units: Affine | None = None) -> Tensor:
    """Mean over samples of |outputs - targets| / |targets|, Euclidean norms over all positions.

    The loss of Fourier neural operators (Li et al., arXiv 2010.08895, section 5). A target of norm 0 counts
    with its absolute error.

    Args:
        outputs: the network's.
        targets: of the same shape.
        units: how both are scaled; the norms are those of what was scaled.
    """
    if units is not None:
        outputs, targets = units.undo(outputs), units.undo(targets)
    return relative_errors(outputs, targets).mean()


def relative_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """The summands of `relative_l2`, [B]."""
    norms = targets.flatten(1).norm(dim=1)
    errors: Tensor = (outputs - targets).flatten(1).norm(dim=1)
    return errors / torch.where(norms > 0, norms, 1)


LOSSES: Mapping[Kind, Mapping[str, Loss]] = {
    "classification": {"cross_entropy": cross_entropy, "focal": focal},
    "multi-label": {"binary_cross_entropy": binary_cross_entropy},
    "regression": {"mse": mse, "mae": mae, "huber": huber, "relative_l2": relative_l2},
}
"""The losses that each kind of task can have; the first is its own."""


def loss_by_name(kind: Kind, name: str | None = None, *, units: Affine | None = None) -> Loss:
    """The loss `name` of a task of `kind`, or its own.

    Args:
        kind: of the task.
        name: one of ``LOSSES[kind]``.
        units: how the targets of a regression were scaled for training.

    Raises:
        InputError: it has no such loss.
    """
    loss = by_name("loss", LOSSES, kind, name)[1]
    return partial(relative_l2, units=units) if loss is relative_l2 and units is not None else loss


def by_name(
    parameter: str, choices: Mapping[Kind, Mapping[str, Choice]], kind: Kind, name: str | None
) -> tuple[str, Choice]:
    """The choice called `name` among those of `kind`; its first without a name.

    Args:
        parameter: what is chosen, ``loss`` or ``metric``, for the message.
        choices: what each kind of task can have, by name.
        kind: of the task.
        name: what the user wrote.

    Raises:
        InputError: the choice does not exist, or it belongs to another kind of task.
    """
    known = choices[kind]
    if name is None:
        return next(iter(known.items()))
    if name in known:
        return name, known[name]
    elsewhere = [other for other, its in choices.items() if name in its]
    if elsewhere:
        raise InputError(
            f"`{parameter}={name}` is for {elsewhere[0]}, and the task is {kind}; choose from {', '.join(known)}, "
            f"or add `predict={elsewhere[0]}`"
        )
    close = get_close_matches(name, known, 1)
    raise InputError(
        f"`{parameter}={name}`: no such {parameter}; "
        + (f"did you mean {close[0]}?" if close else f"for {kind} choose from {', '.join(known)}")
    )
