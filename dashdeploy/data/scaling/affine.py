"""Scaling by channel: learned from training data, undone exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dashdeploy.data.lazy_inputs import block_bounds, blocks_of
from dashdeploy.device_constants import constant_like


@dataclass(frozen=True)
class Affine:
    """(x - mean) / deviation, per channel.

    Attributes:
        mean: per channel.
        deviation: per channel, above 0.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, x: Tensor) -> Affine:
        """The one that gives `x` [samples, channels, …] mean 0 and deviation 1; a constant channel keeps its own."""
        mean, deviation = _mean_and_deviation(x)
        deviation = torch.where(deviation > 1e-12 * mean.abs().clamp_min(1e-300), deviation, 1)
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    def apply(self, x: Tensor) -> Tensor:
        """Scale x [B, channels, …]."""
        return (x - self._shaped(self.mean, x)) / self._shaped(self.deviation, x)

    def undo(self, x: Tensor) -> Tensor:
        """Scale x [B, channels, …] back."""
        return x * self._shaped(self.deviation, x) + self._shaped(self.mean, x)

    def step(self, rank: int) -> AffineStep:
        """`apply` as a part of a network, for inputs with `rank` spatial axes."""
        mean, deviation = self._whole()
        return AffineStep(1 / deviation, mean, rank)

    def step_back(self, rank: int) -> AffineStep:
        """`undo` as a part of a network, for outputs with `rank` spatial axes."""
        mean, deviation = self._whole()
        return AffineStep(deviation, -mean / deviation, rank)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Affine:
        """What `dataclasses.asdict` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(tuple(map(float, content["mean"])), tuple(map(float, content["deviation"])))

    def _whole(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.mean, dtype=torch.float64), torch.tensor(self.deviation, dtype=torch.float64)

    def _shaped(self, values: tuple[float, ...], x: Tensor) -> Tensor:
        return constant_like(values, x).view(-1, *[1] * (x.ndim - 2))


FAR_MEAN, FAR_DEVIATION = 3.0, 10.0


def where_far(scale: Affine) -> Affine | None:
    """`scale` for those channels whose numbers cannot be trained on as they are; None if there are none.

    A mean of more than `FAR_MEAN` deviations makes steps of the zeros that convolutions pad with. A deviation of more
    than `FAR_DEVIATION` gives a channel far too much say; if all are less than its inverse, weights begin too small.
    One channel with a small deviation, such as a rare letter, is left alone: scaled, it would shout.
    """
    small = max(scale.deviation) < 1 / FAR_DEVIATION
    far = [
        small or abs(mean) > FAR_MEAN * deviation or deviation > FAR_DEVIATION
        for mean, deviation in zip(scale.mean, scale.deviation, strict=True)
    ]
    if not any(far):
        return None
    return Affine(
        tuple(value if each else 0.0 for value, each in zip(scale.mean, far, strict=True)),
        tuple(value if each else 1.0 for value, each in zip(scale.deviation, far, strict=True)),
    )


def _mean_and_deviation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of every channel of `x` [samples, channels, …], block by block, so that it need not fit in memory."""
    axes = [axis for axis in range(len(x.shape)) if axis != 1]
    if len(list(block_bounds(tuple(x.shape)))) == 1:
        whole = x[:].double()
        return whole.mean(axes), whole.std(axes, correction=0)
    count = math.prod(x.shape[axis] for axis in axes)
    channels = (x.shape[1], *[1] * (len(x.shape) - 2))
    total, squares = torch.zeros(x.shape[1]).double(), torch.zeros(x.shape[1]).double()
    for block in blocks_of(x):
        total += block.double().sum(axes)
    mean = total / count
    for block in blocks_of(x):
        squares += (block.double() - mean.view(channels)).square().sum(axes)
    return mean, (squares / count).sqrt()


class AffineStep(nn.Module):
    """x -> (x - offset) factor, by channel, with its numbers as constants of the module.

    Args:
        factor: [channels], computed in float64.
        offset: [channels], computed in float64.
        rank: spatial axes of x.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, factor: Tensor, offset: Tensor, rank: int) -> None:
        super().__init__()
        shape = (1, -1, *[1] * rank)
        self.register_buffer("factor", factor.view(shape).float(), persistent=False)
        self.register_buffer("offset", offset.view(shape).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, channels, …] to the same shape."""
        return (x - self.offset) * self.factor
