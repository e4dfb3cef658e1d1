"""Whether the network that was chosen learns by branches.

See `dashdeploy.ops.training.reparameterization`. Afterwards it is the same network, so nothing but the training
differs: branches begin with much of their weight on the output's own position, which helps on some data by as much as
it harms on other. Cross-validation tells which.
"""

from __future__ import annotations

import torch

from dashdeploy.backbones.build import build_backbone
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.ops.training.reparameterization import reparameterize
from dashdeploy.search.config.phases import has_shortlist
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import backbone_name, network_arguments

BRANCHED = ("resnet1d",)
"""The backbones with which branches were measured and may help; wide_resnet is worse by them."""


def asks_for_branches(task: Task, settings: SearchSettings) -> bool:
    """Whether a run finds out by its short list if branches are better than none."""
    return (
        settings.reparameterize is None
        and has_shortlist(settings)
        and task.classifies_samples
        and backbone_name(task, settings) in BRANCHED
    )


def check_branches(task: Task, settings: SearchSettings) -> None:
    """Refuse branches of a backbone without a convolution that can have them; the random state stays.

    Raises:
        InputError: they were asked for.
    """
    if not settings.reparameterize:
        return
    name = backbone_name(task, settings)
    with torch.random.fork_rng(devices=[]):
        network = build_backbone(name, network_arguments(task, settings, retrain=True))
        before = set(network.state_dict())
        reparameterize(network)
    if set(network.state_dict()) == before:
        raise InputError(
            f"reparameterize = true: no convolution of the backbone {name} can learn by branches, only one of "
            "several taps without strides, groups or weight norm can; leave it out"
        )
