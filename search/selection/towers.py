"""One network, or two narrower ones side by side that cost as much together: cross-validation decides.

S. Zhao et al., "Towards better accuracy-efficiency trade-offs: divide and co-training", IEEE Transactions on Image
Processing 2022 (arXiv 2011.14660). On small data sets the mean of two networks is right more often than one, by more
than what narrow layers lose; where there is enough data for the width, it is not. So both are tried.
"""

from __future__ import annotations

import math

from dashdeploy.artifacts.run import Architecture, Towers
from dashdeploy.backbones.build import BACKBONES
from dashdeploy.data.task import Kind, Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import wants_latency
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import backbone_arguments, backbone_name

TOWERS = 2
"""What one network is compared with."""
WIDTH_MULTIPLE = 4
"""Vector units compute with so many channels at a time at least."""


def asks_for_towers(task: Task, settings: SearchSettings) -> bool:
    """Whether a run finds out by its short list if towers are better than one network."""
    return (
        settings.towers is None
        and settings.shortlist > 1
        and not wants_latency(settings)
        and task.kind in ("classification", "multi-label")
        and not task.dense
        and backbone_name(task, settings) in BACKBONES
        and _can_be_divided(task, settings)
    )


def divided(architecture: Architecture, count: int, kind: Kind) -> Architecture:
    """`architecture` as so many towers, whose width is 1 / sqrt(count) of its own, to the next multiple of 4.

    Args:
        architecture: its backbone has a width.
        count: how many; 1 leaves it as it is.
        kind: what is predicted.
    """
    if count == 1:
        return architecture
    width = float(architecture.arguments["width"]) / math.sqrt(count)
    arguments = {"width": max(WIDTH_MULTIPLE, WIDTH_MULTIPLE * round(width / WIDTH_MULTIPLE))}
    return architecture.model_copy(update={"towers": Towers(count=count, arguments=arguments, kind=kind)})


def check_towers(task: Task, settings: SearchSettings) -> None:
    """Refuse towers of a backbone that has no width.

    Raises:
        InputError: they were asked for.
    """
    if settings.towers not in (None, 1) and not _can_be_divided(task, settings):
        raise InputError(
            f"towers = {settings.towers}: the backbone {backbone_name(task, settings)} has no parameter width, so "
            "it cannot be made narrower; leave it out, or ask for whole networks with `ensemble`"
        )


def _can_be_divided(task: Task, settings: SearchSettings) -> bool:
    width = backbone_arguments(task, settings, retrain=True).get("width")
    return isinstance(width, int)
