"""A finished run whose networks can be built again: the searched one, and the original backbone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dashdeploy.artifacts.run import (
    BACKBONE_WEIGHTS_NAME,
    CONFIG_NAME,
    RunDirectory,
    load_weights,
    member_weights_name,
)
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.backbones.ensemble import Ensemble
from dashdeploy.data.scaling.scaling import Scaled, Scaling
from dashdeploy.errors import InputError


@dataclass(frozen=True)
class Run(RunDirectory):
    """A finished run on disk: its files, and the networks that they describe.

    Attributes:
        path: the folder.
        config: the content of ``config.json``: settings, the task and its data, versions.
        architecture: the kernel of every convolution, as ``architecture.json`` has it.
        metrics: the content of ``metrics.json``.

    Example:
        ::

            run = dashdeploy.Run.load("run")
            network = run.searched_model()  # a torch.nn.Module with the trained weights
            print(run.metrics["searched"])
    """

    def searched_model(self) -> nn.Module:
        """The retrained network with the searched kernels and the data's scaling, in evaluation mode."""
        return self._scaled(self._member(1))

    def ensemble_model(self) -> nn.Module:
        """All networks with the searched kernels as one, with the data's scaling, in evaluation mode.

        Its outputs are those of `Ensemble`: for classes the logarithm of the mean of the members' probabilities. Of
        a run of one network it is that network.
        """
        if self.members == 1:
            return self.searched_model()
        # Runs from before there were other kinds do not say theirs.
        kind = self.config.get("kind", "classification")
        members = [self._member(member) for member in range(1, self.members + 1)]
        try:
            return self._scaled(Ensemble(members, kind).eval())
        except KeyError as error:
            raise InputError(
                f"{self.path / CONFIG_NAME}: kind = {kind!r} is not a kind of task; search again"
            ) from error

    def backbone_model(self) -> nn.Module:
        """The original backbone, trained with the same budget, with the data's scaling, in evaluation mode."""
        model = build_backbone(self.architecture.backbone, self.architecture.arguments)
        return self._scaled(load_weights(model, self.path / BACKBONE_WEIGHTS_NAME))

    def _member(self, member: int) -> nn.Module:
        """One of the networks with the searched kernels, counted from 1, without the scaling."""
        return load_weights(build_searched(self.architecture), self.path / member_weights_name(member))

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
