"""Whether the network that was chosen scales each series by itself.

Series of one shape may differ in level and size, by the gain of a sensor or the distance of an object. If that says
nothing of their classes, a network learns the shapes from fewer of them once each has mean 0 and deviation 1. If it
does, they would be lost. Cross-validation tells which.
"""

from __future__ import annotations

from dashdeploy.artifacts.run import Architecture
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import has_shortlist
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import backbone_name, network_arguments

ARGUMENT = "scale_samples"
"""Of the backbone's factory."""
SCALING = ("resnet1d",)
"""The backbones that have it."""


def asks_for_scaled_samples(task: Task, settings: SearchSettings) -> bool:
    """Whether a run finds out by its short list if series are better scaled by themselves.

    Args:
        task: tells what is predicted.
        settings: as `dashdeploy.search.config.run_settings` gives them, which say no where no series differ.
    """
    return (
        settings.scale_samples is None
        and has_shortlist(settings)
        and task.classifies_samples
        and backbone_name(task, settings) in SCALING
        and ARGUMENT not in network_arguments(task, settings, retrain=True)
    )


def with_scaled_samples(architecture: Architecture) -> Architecture:
    """`architecture`, whose series are scaled by themselves, unlike those of the unsearched backbone."""
    own = architecture.searched_arguments | {ARGUMENT: True}
    return architecture.model_copy(update={"searched_arguments": own})


def check_scaled_samples(task: Task, settings: SearchSettings) -> None:
    """Refuse the scaling for a backbone that does not have it.

    Raises:
        InputError: it was asked for.
    """
    name = backbone_name(task, settings)
    if settings.scale_samples and name not in SCALING:
        raise InputError(
            f"scale_samples = true: the backbone {name} does not scale series, only {', '.join(SCALING)} does; "
            "leave it out, or scale the data with `normalize=samples`"
        )
