"""Scaling of inputs and outputs: learned from training data, part of the deployed model.

A network learns best from numbers with mean 0 and standard deviation 1. Means and deviations come from the
training data alone. They belong to the model: whoever deploys it gives it numbers as they are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor, nn

from dashdeploy.data.lazy_inputs import mapped_inputs
from dashdeploy.data.scaling.affine import Affine, where_far
from dashdeploy.data.scaling.within_samples import (
    WITH_SIZES,
    SampleSizes,
    ScalePerSample,
    ScaleWithSizes,
    means_and_deviations,
    per_sample,
    units_of,
)

Normalize = Literal["channels", "samples", "sizes", "none"]


@dataclass(frozen=True)
class Scaling:
    """What is done to inputs before the network, and to its outputs after; None where nothing is.

    Attributes:
        inputs: applied to the inputs.
        outputs: undone on the outputs, which were learned scaled.
        per_sample: whether every channel of every sample gets mean 0 and deviation 1 by itself.
        sizes: the same, with their levels and sizes as further channels.
    """

    inputs: Affine | None = None
    outputs: Affine | None = None
    per_sample: bool = False
    sizes: SampleSizes | None = None

    def __bool__(self) -> bool:
        """Whether anything is done at all."""
        return self != Scaling()

    def scale_inputs(self, x: Tensor) -> Tensor:
        """Scale inputs [B, channels, …] as the network sees them; lazy ones later."""
        x = x if self.inputs is None else mapped_inputs(x, self.inputs.apply)
        if self.sizes is not None:
            return mapped_inputs(x, self.sizes.apply, channels=WITH_SIZES * x.shape[1])
        return mapped_inputs(x, per_sample) if self.per_sample else x

    def unscale_inputs(self, x: Tensor) -> Tensor:
        """Inputs that `scale_inputs` gives again what it gave; lazy ones later."""
        if self.sizes is not None:
            return mapped_inputs(x, self.sizes.undo, channels=x.shape[1] // WITH_SIZES)
        return x if self.inputs is None else mapped_inputs(x, self.inputs.undo)

    def unscaled_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a sample [channels, …] before `scale_inputs`, of its `shape` after."""
        return shape if self.sizes is None else (shape[0] // WITH_SIZES, *shape[1:])

    def scale_outputs(self, y: Tensor) -> Tensor:
        """Scale targets [B, outputs, …] as the network learns them; class indices stay."""
        return y if self.outputs is None else self.outputs.apply(y)

    def unscale_outputs(self, y: Tensor) -> Tensor:
        """Undo `scale_outputs`."""
        return y if self.outputs is None else self.outputs.undo(y)

    def to_json(self) -> dict[str, Any]:
        """For ``config.json``."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Scaling:
        """What `to_json` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        affine = {
            name: Affine.from_json(content[name]) for name in ("inputs", "outputs") if content.get(name)
        }
        sizes = SampleSizes.from_json(content["sizes"]) if content.get("sizes") else None
        return cls(**affine, per_sample=bool(content.get("per_sample", False)), sizes=sizes)


def scaling_of(inputs: Tensor, targets: Tensor | None, normalize: Normalize | None) -> Scaling:
    """How data are scaled, by the training split alone.

    Args:
        inputs: [samples, channels, …], may be lazy.
        targets: [samples, outputs, …] if numbers are predicted, else None.
        normalize: as `DataOptions.normalize`.
    """
    if normalize == "samples":
        return Scaling(_in_other_units(inputs), per_sample=True)
    if normalize == "none":
        return Scaling()
    of_targets = None if targets is None else Affine.of(targets)
    if normalize == "sizes":
        return Scaling(outputs=of_targets, sizes=SampleSizes.of(inputs))
    of_inputs = Affine.of(inputs)
    if normalize == "channels":
        return Scaling(of_inputs, of_targets)
    return Scaling(where_far(of_inputs), None if of_targets is None else where_far(of_targets))


def _in_other_units(inputs: Tensor) -> Affine | None:
    """What brings inputs to numbers whose squares float32 can hold; None where they are such, as they mostly are."""
    unit = units_of(means_and_deviations(inputs)[1])
    if all(1e-3 <= each <= 1e3 for each in unit):
        return None
    return Affine(tuple(0.0 for _ in unit), unit)


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
            self.before = scaling.inputs.step(rank)
        if scaling.per_sample:
            self.before = nn.Sequential(self.before, ScalePerSample())
        if scaling.sizes is not None:
            self.before = ScaleWithSizes(scaling.sizes, rank)
        if scaling.outputs is not None:
            self.after = scaling.outputs.step_back(rank if dense else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs as they are to outputs as they are."""
        y: Tensor = self.after(self.network(self.before(x)))
        return y
