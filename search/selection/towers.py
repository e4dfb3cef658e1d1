"""One network, or two narrower ones side by side that cost as much together: cross-validation decides.

S. Zhao et al., "Towards better accuracy-efficiency trade-offs: divide and co-training", IEEE Transactions on Image
Processing 2022 (arXiv 2011.14660). On small data sets the mean of two networks is right more often than one, by more
than what narrow layers lose; where there is enough data for the width, it is not. So both are tried.
"""

from __future__ import annotations

import math

from dashdeploy.artifacts.run import Architecture, Towers
from dashdeploy.backbones.build import WIDTHS, width_of
from dashdeploy.data.task import Kind, Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import wants_latency
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import backbone_name

TOWERS = 2
"""What one network is compared with."""


def asks_for_towers(task: Task, settings: SearchSettings) -> bool:
    """Whether a run finds out by its short list if towers are better than one network."""
    return (
        settings.towers is None
        and settings.shortlist > 1
        and not wants_latency(settings)
        and task.kind in ("classification", "multi-label")
        and not task.dense
        and backbone_name(task, settings) in WIDTHS
    )


def divided(architecture: Architecture, count: int, kind: Kind) -> Architecture:
    """`architecture` as so many towers, of 1 / sqrt(count) of its width, to a multiple of 4 channels.

    Args:
        architecture: its backbone is one of `WIDTHS`.
        count: how many; 1 leaves it as it is.
        kind: what is predicted.
    """
    if count == 1:
        return architecture
    width, whole = WIDTHS[architecture.backbone], width_of(architecture.backbone, architecture.own_arguments)
    steps = max(1, round(whole / math.sqrt(count) / width.step))
    towers = Towers(count=count, arguments={width.argument: width.step * steps}, kind=kind)
    return architecture.model_copy(update={"towers": towers})


def check_towers(task: Task, settings: SearchSettings) -> None:
    """Refuse towers of a backbone that has no width.

    Raises:
        InputError: they were asked for.
    """
    name = backbone_name(task, settings)
    if settings.towers not in (None, 1) and name not in WIDTHS:
        raise InputError(
            f"towers = {settings.towers}: it is not known how the backbone {name} is made narrower, only "
            f"{', '.join(WIDTHS)}; leave it out, or ask for whole networks with `ensemble`"
        )
