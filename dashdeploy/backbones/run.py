"""A finished run whose networks can be built again: the searched one, and the original backbone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dashdeploy.artifacts.run import (
    BACKBONE_WEIGHTS_NAME,
    CONFIG_NAME,
    WEIGHTS_NAME,
    RunDirectory,
    load_weights,
)
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.data.scaling import Scaled, Scaling
from dashdeploy.errors import InputError


@dataclass(frozen=True)
class Run(RunDirectory):
    """A finished run on disk: its files, and the networks that they describe."""

    def searched_model(self) -> nn.Module:
        """The retrained network with the searched kernels and the data's scaling, in evaluation mode."""
        return self._scaled(load_weights(build_searched(self.architecture), self.path / WEIGHTS_NAME))

    def backbone_model(self) -> nn.Module:
        """The original backbone, trained with the same budget, with the data's scaling, in evaluation mode."""
        model = build_backbone(self.architecture.backbone, self.architecture.arguments)
        return self._scaled(load_weights(model, self.path / BACKBONE_WEIGHTS_NAME))

    def _scaled(self, network: nn.Module) -> nn.Module:
        """`network` between the scaling of its inputs and outputs, if the data was scaled for training."""
        try:
            scaling = Scaling.from_json(self.config.get("scaling", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{self.path / CONFIG_NAME}: scaling cannot be read ({error}); search again"
            ) from error
        if not scaling:
            return network
        rank, dense = len(self.config["input_shape"]) - 1, bool(self.config["dense"])
        return Scaled(network, scaling, rank=rank, dense=dense).eval()
