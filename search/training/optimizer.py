"""The optimizer of a phase, and how its learning rates change over the passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.run_settings import RunSettings

WARM_UP = 0.3
FLOOR = 1e-4
DECAY = 0.2
ADAM_SECOND = 0.999
"""Of the squared gradients; torch's own value."""
MILESTONES = (30 / 200, 60 / 200, 90 / 200, 120 / 200, 160 / 200)


def one_cycle(progress: float) -> float:
    """Rise by cosine from 1/25 to 1 over the first 30 %, then fall by cosine to almost 0.

    L. N. Smith, N. Topin, "Super-convergence", 2018; the shape of ``torch.optim.lr_scheduler.OneCycleLR``.

    Args:
        progress: part of the phase that is done, 0 to 1.

    Returns:
        The factor on the peak learning rate.
    """
    if progress < WARM_UP:
        start, end, along = 1 / 25, 1.0, progress / WARM_UP
    else:
        start, end, along = 1.0, FLOOR, min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
    return end + (start - end) * (1 + math.cos(math.pi * along)) / 2


def step(progress: float) -> float:
    """Multiply by 0.2 after 30, 60, 90, 120 and 160 of 200 passes: DASH's retraining of 1-D networks."""
    return DECAY ** sum(progress > milestone for milestone in MILESTONES)


SCHEDULES: dict[str, Callable[[float], float]] = {"one-cycle": one_cycle, "step": step}


def optimizer_of(
    network: nn.Module, alphas: Sequence[nn.Parameter], phase: Phase, settings: RunSettings
) -> torch.optim.Optimizer:
    """Adam or SGD; the weights and the architecture parameters are groups of their own.

    SGD with Nesterov's step, as DASH has it; Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).

    Args:
        network: whose parameters are learned.
        alphas: those of them that are architecture parameters.
        phase: the peak rate of the weights.
        settings: which of them, the rate of the architecture parameters, momentum and weight decay.
    """
    known = {id(alpha) for alpha in alphas}
    weights = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups: list[dict[str, Any]] = [
        {"params": weights, "lr": phase.learning_rate, "weight_decay": settings.weight_decay}
    ]
    if alphas:
        groups.append(
            {
                "params": list(alphas),
                "lr": settings.alpha_learning_rate,
                "weight_decay": settings.alpha_weight_decay,
            }
        )
    if settings.optimizer == "adam":
        on_cpu = all(each.device.type == "cpu" and each.is_floating_point() for each in network.parameters())
        betas = (settings.momentum, ADAM_SECOND)
        # torch takes an operator for each of some ten steps of each parameter unless it is asked for a single one.
        return torch.optim.AdamW(groups, lr=phase.learning_rate, betas=betas, fused=on_cpu or None)
    return torch.optim.SGD(groups, lr=phase.learning_rate, momentum=settings.momentum, nesterov=True)


def clip_gradients(optimizer: torch.optim.Optimizer, largest: float, settings: RunSettings) -> None:
    """Clip the norm of the weights' gradient; the architecture parameters' has a scale of its own.

    Where their gradient is left raw, it is clipped together with the weights', as in DASH.
    """
    groups = optimizer.param_groups[: None if settings.alpha_gradient == "raw" else 1]
    torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], largest)
