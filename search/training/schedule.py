"""How the learning rate changes over the passes of one phase."""

from __future__ import annotations

import math
from collections.abc import Callable

WARM_UP = 0.3
FLOOR = 1e-4
DECAY = 0.2
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
