"""The phases of a run that train, and what sets them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashdeploy.search.config.settings import SearchSettings

PhaseName = Literal["search", "shortlist", "tune", "retrain", "backbone"]


@dataclass(frozen=True)
class Phase:
    """What sets one phase apart from the others.

    Attributes:
        name: ``search`` trains the supernet, ``shortlist`` candidates for what comes of it, ``tune`` and ``retrain``
            the found network, ``backbone`` the unsearched one.
        epochs: passes.
        learning_rate: peak rate of the weights.
        share: part of the training data that each pass sees.
        clip: largest gradient norm; 0 does not clip.
        refit: whether validation data is learned from as well, so that the last epoch counts.
    """

    name: PhaseName
    epochs: int
    learning_rate: float
    share: float
    clip: float
    refit: bool = False


def phases(settings: SearchSettings) -> dict[PhaseName, Phase]:
    """The phases in their order. Retraining and the baseline have the same settings, but for asked-for passes."""
    search = Phase(
        "search",
        settings.search_epochs,
        settings.search_learning_rate,
        settings.search_share,
        settings.search_clip,
    )

    def training(name: PhaseName, epochs: int) -> Phase:
        return Phase(name, epochs, settings.learning_rate, 1.0, settings.retrain_clip, settings.refit)

    return {
        "search": search,
        "retrain": training("retrain", settings.retrain_epochs),
        "backbone": training("backbone", settings.backbone_epochs or settings.retrain_epochs),
    }
