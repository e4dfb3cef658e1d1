"""Each sample scaled by itself, without its level and size or with these beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dashdeploy.data.lazy_inputs import blocks_of
from dashdeploy.data.scaling.affine import Affine

LEAST_DEVIATION = 1e-8
"""Far below that of anything but a constant, whose numerator is 0 but for rounding."""
WITH_SIZES = 3
"""Channels that `SampleSizes` makes of one."""
LEAST_SPREAD = 1e-3
"""Of logarithms: levels that differ by less than a thousandth of the samples' deviation say nothing."""


def per_sample(x: Tensor) -> Tensor:
    """Every channel of every sample of x [B, channels, …] with mean 0 and deviation 1; a constant one becomes 0."""
    return _parts(x)[2]


def _parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and deviation of every channel of every sample, [B, channels, 1, …], and what `per_sample` makes of x.

    The mean is taken twice: beside a mean of a thousand deviations, the rounding of the first is what engines, which
    add in different orders, would disagree about.
    """
    axes = list(range(2, x.ndim))
    rough = x.mean(axes, keepdim=True)
    centered = x - rough
    rest = centered.mean(axes, keepdim=True)
    mean, centered = rough + rest, centered - rest
    deviation = centered.square().mean(axes, keepdim=True).sqrt()
    return mean, deviation, centered / deviation.clamp_min(LEAST_DEVIATION)


def units_of(deviations: Tensor) -> tuple[float, ...]:
    """Per channel, the median of those `deviations` of samples, [samples, channels], that are above 0; else 1.

    It is rounded to a power of 2, so that the change of units does not round.
    """
    varying = (each[each > 0] for each in deviations.T)
    medians = (float(each.quantile(0.5)) if len(each) else 1.0 for each in varying)
    return tuple(2.0 ** round(math.log2(median)) for median in medians)


def means_and_deviations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every channel of every sample of `x`, which may be lazy: [samples, channels], float64."""
    parts = [_parts(block.double())[:2] for block in blocks_of(x)]
    mean, deviation = (torch.cat(part).flatten(1) for part in zip(*parts, strict=True))
    # What is left of a constant is rounding.
    return mean, torch.where(deviation > 1e-12 * mean.abs(), deviation, 0)


@dataclass(frozen=True)
class SampleSizes:
    """Samples scaled by themselves, with their levels and sizes as further channels, so that nothing is lost.

    A sample [channels, …] becomes [3 channels, …]: its channels with mean 0 and deviation 1, their levels, and their
    sizes. As these span orders of magnitude, both are logarithms: sign(m) log(1 + |m|) of the mean m, and log(s) of
    the deviation s, each in units of `unit`. Over the training data, both have mean 0 and deviation 1.

    Attributes:
        unit: per channel, `units_of` the training samples' deviations.
        least: per channel, the smallest s of a training sample that varies; what varies less counts as that.
        level: scales the logarithms of the means.
        size: scales the logarithms of the deviations.
    """

    unit: tuple[float, ...]
    least: tuple[float, ...]
    level: Affine
    size: Affine

    @classmethod
    def of(cls, x: Tensor) -> SampleSizes:
        """The one for training samples `x` [samples, channels, …], which may be lazy."""
        found = means_and_deviations(x)
        unit = units_of(found[1])
        means, deviations = (each / torch.tensor(unit, dtype=torch.float64) for each in found)
        varying = [each[each > LEAST_DEVIATION] for each in deviations.T]
        least = tuple(float(each.min()) if len(each) else 1.0 for each in varying)
        sizes = torch.maximum(deviations, torch.tensor(least, dtype=torch.float64)).log()
        return cls(unit, least, _scale_of(_signed_log(means)), _scale_of(sizes))

    def apply(self, x: Tensor) -> Tensor:
        """Scale x [B, channels, …] to [B, 3 channels, …]."""
        scaled: Tensor = ScaleWithSizes(self, x.ndim - 2).to(x.device)(x)
        return scaled

    def undo(self, x: Tensor) -> Tensor:
        """Scale x [B, 3 channels, …] back to [B, channels, …]; what varied less than `least` varies by that."""
        scaled, level, size = x.chunk(WITH_SIZES, 1)
        level = self.level.undo(level)
        in_units = scaled * self.size.undo(size).exp() + level.sign() * level.abs().expm1()
        return in_units * torch.tensor(self.unit).to(x).view(-1, *[1] * (x.ndim - 2))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SampleSizes:
        """What `dataclasses.asdict` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        unit, least = (tuple(map(float, content[name])) for name in ("unit", "least"))
        return cls(unit, least, Affine.from_json(content["level"]), Affine.from_json(content["size"]))


def _scale_of(logarithms: Tensor) -> Affine:
    """Of [samples, channels]. What hardly varies, such as the rounding of means that are 0, must not be blown up."""
    found = Affine.of(logarithms[..., None])
    return Affine(found.mean, tuple(each if each > LEAST_SPREAD else 1.0 for each in found.deviation))


def _signed_log(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), of operators that every engine has."""
    return (1 + x.relu()).log() - (1 + (-x).relu()).log()


class ScalePerSample(nn.Module):
    """`per_sample` as a part of a network."""

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, channels, …] to the same shape."""
        return per_sample(x)


class ScaleWithSizes(nn.Module):
    """`SampleSizes.apply` as a part of a network.

    Args:
        sizes: of the training data.
        rank: spatial axes of the inputs.
    """

    per_unit: Tensor
    least: Tensor

    def __init__(self, sizes: SampleSizes, rank: int) -> None:
        super().__init__()
        shape = (1, -1, *[1] * rank)
        per_unit = 1 / torch.tensor(sizes.unit, dtype=torch.float64)
        self.register_buffer("per_unit", per_unit.view(shape).float(), persistent=False)
        self.register_buffer("least", torch.tensor(sizes.least).view(shape), persistent=False)
        self.level, self.size = sizes.level.step(rank), sizes.size.step(rank)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, channels, …] to [B, 3 channels, …]."""
        x = x * self.per_unit
        mean, deviation, scaled = _parts(x)
        level = self.level(_signed_log(mean))
        size = self.size(torch.maximum(deviation, self.least).log())
        # Not `expand_as`: it would ask for the shape of x, which some converters cannot do.
        zeros = 0 * scaled
        return torch.cat([scaled, zeros + level, zeros + size], 1)
