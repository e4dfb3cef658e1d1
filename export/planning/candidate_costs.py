"""What a convolution would cost once compiled: the search's only view of the compiler.

It is the cheapest lowering's cost, from the same cache, by the same planner, as an export would choose it.
"""

from __future__ import annotations

from typing import Literal

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.native.candidates import refuses
from dashdeploy.export.native.layer_costs import LayerCosts, describe_native
from dashdeploy.export.planning.planner import Planner
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.selection import target_of
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.names import TargetName

__all__ = ["CandidateCosts", "ConvSpec"]  # the search imports nothing else of the compiler


class CandidateCosts:
    """Costs of convolutions on one target, batch 1, one thread.

    Args:
        target: the engine that is compiled for.
        device: the GPU that is compiled for where it is not here.
        tune: whether costs are measured or estimated.
        progress: told of each measurement before it starts.

    Raises:
        InputError: the device does not exist, or costs cannot be kept.
        MissingCapabilityError: the target's engine or device is not here.
    """

    def __init__(
        self,
        target: TargetName,
        device: str | None,
        tune: Literal["measure", "estimate"],
        progress: Progress = silent,
    ) -> None:
        settings = ExportSettings.model_validate({"target": str(target), "device": device, "tune": tune})
        found = target_of(settings)
        self.device = found.describe()
        self._planner = Planner(settings, found, TuningCache(self.device), progress)
        self._known: dict[ConvSpec, float] = {}
        self._native: LayerCosts | None = None
        if settings.target is TargetName.NATIVE:
            self.device = describe_native(settings.threads)
            self._native = LayerCosts(settings, progress)

    def milliseconds(self, spec: ConvSpec, place: str) -> float:
        """The cost of a convolution by its cheapest lowering.

        Args:
            spec: the convolution.
            place: what progress calls it.
        """
        if spec not in self._known and self._native is not None and refuses(spec) is None:
            self._known[spec] = 1e3 * self._native.seconds(spec, place)
        if spec not in self._known:
            layer, _ = self._planner.plan_layer(place, spec, place)
            self._known[spec] = self._planner.cost_of(layer)
        return self._known[spec]
