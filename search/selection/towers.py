"""One network, or several side by side that cost no more than the backbone together.

Two narrower networks cost about as much as one, and cross-validation decides. Where the search has chosen a network
that costs a fraction of the backbone, there is room for several of its own width, which need no comparison.

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
from dashdeploy.search.config.phases import has_shortlist
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import backbone_name

TOWERS = 2
"""What one network is compared with."""
MOST_WHOLE_TOWERS = 4
"""Of the network's own width; more of them gain little."""


def asks_for_towers(task: Task, settings: SearchSettings) -> bool:
    """Whether a run finds out by its short list if towers are better than one network."""
    return settings.narrow_towers is not False and may_have_towers(task, settings)


def may_have_towers(task: Task, settings: SearchSettings) -> bool:
    """Whether a run may choose to have towers."""
    return (
        settings.towers is None
        and has_shortlist(settings)
        and task.classifies_samples
        and backbone_name(task, settings) in WIDTHS
    )


def whole_towers(task: Task, settings: SearchSettings, ratio: float) -> list[int]:
    """How many networks of the searched one's own width together cost less than the backbone, most first.

    Args:
        task: tells what is predicted.
        settings: with the size that the search has chosen. Without one, none is tried, nor with a tuning or an
            ensemble, whose trials and members would each have as many.
        ratio: what the backbone costs, in costs of one network.
    """
    if (
        not settings.searched_arguments
        or settings.narrow_towers
        or settings.tune != "none"
        or settings.ensemble > 1
        or not may_have_towers(task, settings)
    ):
        return []
    return list(range(min(MOST_WHOLE_TOWERS, int(ratio)), 1, -1))


def networks_trained(settings: SearchSettings) -> int:
    """How many networks of the searched one's own width a final training trains side by side."""
    return (settings.towers or 1) if settings.narrow_towers is False else 1


def divided(architecture: Architecture, count: int, kind: Kind, *, narrow: bool = True) -> Architecture:
    """`architecture` as so many towers.

    Args:
        architecture: its backbone is one of `WIDTHS`.
        count: how many; 1 leaves it as it is.
        kind: what is predicted.
        narrow: whether each has 1 / sqrt(count) of its width, to a multiple of 4 channels, or all of it.
    """
    if count == 1:
        return architecture
    width, whole = WIDTHS[architecture.backbone], width_of(architecture.backbone, architecture.own_arguments)
    narrower = width.step * max(1, round(whole / math.sqrt(count) / width.step))
    own = narrower if narrow else type(width.step)(whole)
    towers = Towers(count=count, arguments={width.argument: own}, kind=kind)
    return architecture.model_copy(update={"towers": towers})


def as_asked(architecture: Architecture, task: Task, settings: SearchSettings) -> Architecture:
    """What was chosen, as the towers that the settings or the plan name, if they do."""
    if settings.towers is None:
        return architecture
    return divided(architecture, settings.towers, task.kind, narrow=settings.narrow_towers is not False)


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
