"""Whether the network that was chosen learns by branches.

See `dashdeploy.ops.training.reparameterization`. Afterwards it is the same network, so nothing but the training
differs: branches begin with much of their weight on the output's own position, which helps on some data by as much as
it harms on other. Cross-validation tells which.
"""

from __future__ import annotations

from dashdeploy.data.task import Task
from dashdeploy.search.config.phases import has_shortlist
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import backbone_name

BRANCHED = ("resnet1d",)
"""The backbones with which branches were measured and may help; wide_resnet is worse by them."""


def asks_for_branches(task: Task, settings: SearchSettings) -> bool:
    """Whether a run finds out by its short list if branches are better than none."""
    return (
        settings.reparameterize is None
        and has_shortlist(settings)
        and task.kind in ("classification", "multi-label")
        and not task.dense
        and backbone_name(task, settings) in BRANCHED
    )
