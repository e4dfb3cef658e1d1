"""Scaling of inputs and outputs: learned from training data, part of the deployed model.

A network learns best from numbers with mean 0 and standard deviation 1. Means and deviations come from the
training data alone. They belong to the model: whoever deploys it gives it numbers as they are.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dashdeploy.data.lazy_inputs import block_bounds, blocks_of, mapped_inputs
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


@dataclass(frozen=True)
class Scaling:
    """What is done to inputs before the network, and to its outputs after; None where nothing is.

    Attributes:
        inputs: applied to the inputs.
        outputs: undone on the outputs, which were learned scaled.
        per_sample: whether every channel of every sample gets mean 0 and deviation 1 by itself.
    """

    inputs: Affine | None = None
    outputs: Affine | None = None
    per_sample: bool = False

    def __bool__(self) -> bool:
        """Whether anything is done at all."""
        return self != Scaling()

    def scale_inputs(self, x: Tensor) -> Tensor:
        """Scale inputs [B, channels, …] as the network sees them; lazy ones later."""
        x = x if self.inputs is None else mapped_inputs(x, self.inputs.apply)
        return mapped_inputs(x, per_sample) if self.per_sample else x

    def scale_outputs(self, y: Tensor) -> Tensor:
        """Scale targets [B, outputs, …] as the network learns them; class indices stay."""
        return y if self.outputs is None else self.outputs.apply(y)

    def to_json(self) -> dict[str, Any]:
        """For ``config.json``."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Scaling:
        """What `to_json` made.

        Raises:
            KeyError, TypeError: it is something else.
        """
        parts = {name: content.get(name) for name in ("inputs", "outputs")}
        affine = {
            name: Affine(tuple(map(float, part["mean"])), tuple(map(float, part["deviation"])))
            for name, part in parts.items()
            if part
        }
        return cls(**affine, per_sample=bool(content.get("per_sample", False)))


def scaling_of(
    inputs: Tensor, targets: Tensor | None, normalize: Literal["channels", "samples", "none"] | None
) -> Scaling:
    """How data are scaled, by the training split alone.

    Args:
        inputs: [samples, channels, …], may be lazy.
        targets: [samples, outputs, …] if numbers are predicted, else None.
        normalize: as `DataOptions.normalize`.
    """
    if normalize == "samples":
        return Scaling(per_sample=True)
    if normalize == "none":
        return Scaling()
    of_inputs, of_targets = Affine.of(inputs), None if targets is None else Affine.of(targets)
    if normalize == "channels":
        return Scaling(of_inputs, of_targets)
    return Scaling(where_far(of_inputs), None if of_targets is None else where_far(of_targets))


def per_sample(x: Tensor) -> Tensor:
    """Every channel of every sample of x [B, channels, …] with mean 0 and deviation 1; a constant one becomes 0."""
    axes = list(range(2, x.ndim))
    centered = x - x.mean(axes, keepdim=True)
    # The floor is far below the deviation of anything but a constant, whose numerator is 0 but for rounding.
    return centered / centered.square().mean(axes, keepdim=True).sqrt().clamp_min(1e-8)


class _Scale(nn.Module):
    """The arithmetic of one `Affine`, with its numbers as constants of the module."""

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


class _PerSample(nn.Module):
    """`per_sample`, as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """Map x [B, channels, …] to the same shape."""
        return per_sample(x)


class Scaled(nn.Module):
    """A network between the scaling of its inputs and that of its outputs.

    Args:
        network: takes scaled inputs, gives scaled outputs.
        scaling: of both.
        rank: spatial axes of the inputs.
        dense: whether outputs have them too.
    """

    def __init__(self, network: nn.Module, scaling: Scaling, *, rank: int, dense: bool) -> None:
        super().__init__()
        self.before: nn.Module = nn.Identity()
        self.network = network
        self.after: nn.Module = nn.Identity()
        if scaling.inputs is not None:
            mean, deviation = (
                torch.tensor(v).double() for v in (scaling.inputs.mean, scaling.inputs.deviation)
            )
            self.before = _Scale(1 / deviation, mean, rank)
        if scaling.per_sample:
            self.before = nn.Sequential(self.before, _PerSample())
        if scaling.outputs is not None:
            mean, deviation = (
                torch.tensor(v).double() for v in (scaling.outputs.mean, scaling.outputs.deviation)
            )
            self.after = _Scale(deviation, -mean / deviation, rank if dense else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs as they are to outputs as they are."""
        y: Tensor = self.after(self.network(self.before(x)))
        return y
