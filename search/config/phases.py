"""The phases of a run: which the settings ask for, and what sets each of them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import SearchSettings

PhaseName = Literal["search", "shortlist", "tune", "retrain", "backbone"]


@dataclass(frozen=True)
class Phase:
    """What sets one phase apart from the others.

    Attributes:
        name: ``search`` trains the supernet, ``shortlist`` candidates for what comes of it, ``tune`` and ``retrain``
            the found network, ``backbone`` the unsearched one.
        epochs: how many.
        passes: over the data, in each of them.
        learning_rate: peak rate of the weights.
        share: part of the training data that each pass sees.
        clip: largest gradient norm; 0 does not clip.
        refit: whether validation data is learned from as well, so that the last epoch counts.
    """

    name: PhaseName
    epochs: int
    passes: int
    learning_rate: float
    share: float
    clip: float
    refit: bool = False


def phases(settings: RunSettings) -> dict[PhaseName, Phase]:
    """The phases that train one network. Retraining and the backbone differ in their passes alone, if at all."""
    search = Phase(
        "search",
        settings.search_epochs,
        settings.epoch_passes,
        settings.search_learning_rate,
        settings.search_share,
        settings.search_clip,
    )

    def training(name: PhaseName, epochs: int) -> Phase:
        return Phase(
            name,
            epochs,
            settings.epoch_passes,
            settings.learning_rate,
            settings.retrain_share,
            settings.retrain_clip,
            settings.refit,
        )

    return {
        "search": search,
        "retrain": training("retrain", settings.retrain_epochs),
        "backbone": training("backbone", settings.backbone_epochs or settings.retrain_epochs),
    }


def wants_latency(settings: SearchSettings) -> bool:
    """Whether the search looks at the latency at all."""
    return settings.latency_weight > 0 or settings.latency_budget is not None


def has_shortlist(settings: SearchSettings) -> bool:
    """Whether the run has that phase; what is found for a latency has to stay within it."""
    return settings.shortlist > 1 and not wants_latency(settings)


def phase_names(settings: SearchSettings) -> list[PhaseName]:
    """The phases of a run, in their order."""
    optional: dict[PhaseName, bool] = {"shortlist": has_shortlist(settings), "tune": settings.tune != "none"}
    return ["search", *(name for name, wanted in optional.items() if wanted), "retrain", "backbone"]


@dataclass(frozen=True)
class TimePlan:
    """What a run is going to do, and how long it is expected to take.

    Attributes:
        settings: with the epochs of each phase.
        seconds: of each phase, in their order.
    """

    settings: RunSettings
    seconds: Mapping[PhaseName, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {in_words(seconds)}" for name, seconds in self.seconds.items())


def in_words(seconds: float) -> str:
    """Such as ``40 s``, ``3 min`` or ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
