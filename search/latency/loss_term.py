"""Latency-aware search: what the compiled network is expected to cost, as part of the loss.

The expected latency is the sum over layers and candidates (k, d) of probability x cost, as in differentiable
searches with a table of latencies (Wu et al., "FBNet", CVPR 2019, section 3.3; Cai et al., "ProxylessNAS", ICLR
2019, section 3.3). Here a candidate's cost is that of its cheapest lowering, direct or FFT, which the compiler
would choose at export.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from dashdeploy.device_constants import constant_like
from dashdeploy.ops.aggconv.module import AggConv
from dashdeploy.search.config.run_settings import RunSettings

FIRST_WEIGHT = 0.1
"""Where the weight of a search for a budget starts."""

WEIGHT_RANGE = (1e-4, 1e4)
SHARPNESS = 4
"""A budget's weight is multiplied by (expected / budget) to this power after every epoch."""


@dataclass(frozen=True)
class LatencyTable:
    """What every candidate of every searched layer costs once compiled.

    Attributes:
        target: the engine's name, a `TargetName`.
        device: engine, version, device and threads.
        costs: whether they were measured or estimated.
        layers: names of the searched layers.
        milliseconds: per layer, of all candidates in the order of the mixing coefficients.
        backbone: per layer, of the original kernel.
        fixed: of the convolutions that are not searched, all together.
    """

    target: str
    device: str
    costs: str
    layers: tuple[str, ...]
    milliseconds: tuple[tuple[float, ...], ...]
    backbone: tuple[float, ...]
    fixed: float

    @property
    def backbone_total(self) -> float:
        """Milliseconds of all convolutions of the unsearched backbone."""
        return self.fixed + sum(self.backbone)

    @property
    def least(self) -> float:
        """Milliseconds of all convolutions with the cheapest kernels."""
        return self.fixed + sum(map(min, self.milliseconds))

    def of(self, choices: Sequence[int]) -> float:
        """Milliseconds of all convolutions for one candidate per layer."""
        return self.fixed + sum(
            costs[choice] for costs, choice in zip(self.milliseconds, choices, strict=True)
        )


class LatencyLoss:
    """The latency's part of the loss.

    Attributes:
        weight: the loss for a network that takes as long as the unsearched backbone, or as the budget; with a
            budget it grows while the network is too slow, and falls while it is not.
    """

    def __init__(self, table: LatencyTable, *, weight: float, budget: float | None) -> None:
        self.table, self.budget = table, budget
        self.weight = weight or (FIRST_WEIGHT if budget else 0.0)
        self.reference = budget or table.backbone_total

    @classmethod
    def asked_for(cls, settings: RunSettings, table: LatencyTable) -> Self:
        """As the settings ask for it."""
        return cls(table, weight=settings.latency_weight, budget=settings.latency_budget)

    def expected(self, layers: Sequence[AggConv]) -> Tensor:
        """Expected milliseconds of all convolutions, differentiable in the architecture parameters."""
        total = layers[0].alpha.new_full((), self.table.fixed)
        for layer, costs in zip(layers, self.table.milliseconds, strict=True):
            mixture = layer.coefficients() if layer.mixing is None else layer.mixing
            total = total + mixture @ constant_like(costs, mixture)
        return total

    def penalty(self, layers: Sequence[AggConv]) -> Tensor:
        """What is added to the loss."""
        return self.weight * self.expected(layers) / self.reference

    def end_epoch(self, layers: Sequence[AggConv]) -> float:
        """Expected milliseconds after an epoch; a budget's weight is set anew."""
        with torch.no_grad():
            milliseconds = float(self.expected(layers))
        if self.budget:
            low, high = WEIGHT_RANGE
            self.weight = min(high, max(low, self.weight * (milliseconds / self.budget) ** SHARPNESS))
        return milliseconds

    def choose(self, layers: Sequence[AggConv]) -> list[int]:
        """The candidate of every layer: the likeliest, or the likeliest ones that keep to the budget."""
        shares = [layer.coefficients().detach().double().clamp_min(1e-300).log().tolist() for layer in layers]
        return likeliest_within(shares, self.table, self.budget)

    def record(self, expected: float, choices: Sequence[int], grid: tuple[int, int]) -> dict[str, Any]:
        """The content of ``latency.json``; `grid` is (|K|, |D|)."""
        table = self.table
        layers = [
            {
                "name": name,
                "ms": [list(costs[row * grid[1] : (row + 1) * grid[1]]) for row in range(grid[0])],
                "chosen_ms": costs[choice],
                "backbone_ms": backbone,
            }
            for name, costs, choice, backbone in zip(
                table.layers, table.milliseconds, choices, table.backbone, strict=True
            )
        ]
        return {
            "target": table.target,
            "device": table.device,
            "costs": table.costs,
            "weight": self.weight,
            "budget_ms": self.budget,
            "expected_ms": expected,
            "chosen_ms": table.of(choices),
            "backbone_ms": table.backbone_total,
            "fixed_ms": table.fixed,
            "layers": layers,
        }


def likeliest_within(
    log_shares: Sequence[Sequence[float]], table: LatencyTable, budget: float | None
) -> list[int]:
    """One candidate per layer with the largest product of shares whose cost is within the budget.

    Found by a Lagrange multiplier: per layer the largest log share - multiplier x cost, with the smallest multiplier
    that keeps to the budget. (Between two multipliers there may be better sets; they are not looked for.)

    Args:
        log_shares: per layer, of all candidates.
        table: their costs.
        budget: milliseconds of all convolutions; None sets no budget.
    """

    def best(multiplier: float) -> list[int]:
        return [
            max(range(len(costs)), key=lambda i: shares[i] - multiplier * costs[i])
            for shares, costs in zip(log_shares, table.milliseconds, strict=True)
        ]

    free = best(0.0)
    if budget is None or table.of(free) <= budget:
        return free
    cheapest = [costs.index(min(costs)) for costs in table.milliseconds]
    low, high = 0.0, 1.0
    while table.of(best(high)) > budget:
        high *= 4
        if not math.isfinite(high) or high > 1e18:
            return cheapest
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if table.of(best(middle)) <= budget else (middle, high)
    return best(high)
