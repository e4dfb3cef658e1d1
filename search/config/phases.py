"""The phases of a run: which the settings ask for, and what sets each of them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import MOST_SEEDS, SearchSettings

Stage = Literal["search", "shortlist", "tune", "retrain", "backbone"]

PhaseName = str
"""A `Stage`; the further members of an ensemble are trained in phases ``retrain-2``, ``retrain-3`` and so on."""


def stage_of(name: PhaseName) -> Stage:
    """What is done in the phase `name`, whichever member it is done for."""
    stage = name.partition("-")[0]
    assert stage in get_args(Stage), name
    return cast("Stage", stage)


def member_of(name: PhaseName) -> int:
    """Which member of an ensemble the phase trains, from 1; every other phase is as of the first."""
    return int(name.partition("-")[2] or 1)


def member_phase(member: int) -> PhaseName:
    """The phase that trains a member, from 1."""
    return "retrain" if member == 1 else f"retrain-{member}"


def member_phases(settings: SearchSettings) -> list[PhaseName]:
    """The phases that train what was found, a member each; mostly there is one."""
    return [member_phase(member) for member in range(1, settings.ensemble + 1)]


def member_settings(settings: RunSettings, member: int) -> RunSettings:
    """`settings` with the seed of a member's weights and order of the data; the first member has the run's own."""
    return settings.model_copy(update={"seed": (settings.seed + member - 1) % MOST_SEEDS})


@dataclass(frozen=True)
class Phase:
    """What sets one phase apart from the others.

    Attributes:
        name: ``search`` trains the supernet, ``shortlist`` candidates for what comes of it, ``tune`` and ``retrain``
            the found network, ``retrain-2`` and so on the further members of its ensemble, ``backbone`` the
            unsearched one.
        epochs: how many.
        passes: over the data, in each of them.
        learning_rate: peak rate of the weights.
        share: part of the training data that each pass sees.
        clip: largest gradient norm; 0 does not clip.
        refit: whether validation data is learned from as well, so that the last epoch counts.
        reparameterize: whether convolutions learn as a sum of branches.
    """

    name: PhaseName
    epochs: int
    passes: int
    learning_rate: float
    share: float
    clip: float
    refit: bool = False
    reparameterize: bool = False


def phases(settings: RunSettings) -> dict[PhaseName, Phase]:
    """The phases that train one network. Retraining and the backbone differ in passes and branches, if at all."""
    search = Phase(
        "search",
        settings.search_epochs,
        settings.epoch_passes,
        settings.search_learning_rate,
        settings.search_share,
        settings.search_clip,
    )

    def training(name: PhaseName, epochs: int, share: float) -> Phase:
        return Phase(
            name,
            epochs,
            settings.epoch_passes,
            settings.learning_rate,
            share,
            settings.retrain_clip,
            settings.refit,
            bool(settings.reparameterize) and name != "backbone",
        )

    return {
        "search": search,
        **{
            name: training(name, settings.retrain_epochs, settings.retrain_share)
            for name in member_phases(settings)
        },
        "backbone": training(
            "backbone",
            settings.backbone_epochs or settings.retrain_epochs,
            settings.backbone_share or settings.retrain_share,
        ),
    }


def short_phase(name: PhaseName, settings: RunSettings, epochs: int, passes: int, share: float) -> Phase:
    """A training with the rate, the clipping and the branches of retraining, but of another length.

    Args:
        name: the phase's.
        settings: of the run, or of a trial.
        epochs: how many.
        passes: over the data, in each of them.
        share: part of the training data that each pass sees.
    """
    rate, clip, branches = settings.learning_rate, settings.retrain_clip, bool(settings.reparameterize)
    return Phase(name, epochs, passes, rate, share, clip, reparameterize=branches)


def wants_latency(settings: SearchSettings) -> bool:
    """Whether the search looks at the latency at all."""
    return settings.latency_weight > 0 or settings.latency_budget is not None


def has_shortlist(settings: SearchSettings) -> bool:
    """Whether the run has that phase; what is found for a latency has to stay within it."""
    return settings.shortlist > 1 and not wants_latency(settings)


def phase_names(settings: SearchSettings) -> list[PhaseName]:
    """The phases of a run, in their order."""
    optional: dict[PhaseName, bool] = {"shortlist": has_shortlist(settings), "tune": settings.tune != "none"}
    chosen = [name for name, wanted in optional.items() if wanted]
    return ["search", *chosen, *member_phases(settings), "backbone"]


@dataclass(frozen=True)
class TimePlan:
    """What a run is going to do, and how long it is expected to take.

    Attributes:
        settings: with the epochs of each phase.
        seconds: of each phase, in their order.
        threads: that a processor computes with; None is as many as torch takes by itself.
        finishing: seconds that follow the final trainings, as is expected: batch norms' statistics and scores.
        sizes: the sizes of the network that were compared, as JSON; see `selection.network_size`.
        preparing: seconds that all this took to find out.
    """

    settings: RunSettings
    seconds: Mapping[PhaseName, float]
    threads: int | None = None
    finishing: float = 0.0
    sizes: Sequence[Mapping[str, Any]] = ()
    preparing: float = 0.0

    def __str__(self) -> str:
        members = sum(stage_of(name) == "retrain" for name in self.seconds)
        stages = dict.fromkeys(map(stage_of, self.seconds), 0.0)
        for name, seconds in self.seconds.items():
            stages[stage_of(name)] += seconds
        return ", ".join(
            f"{stage} {in_words(seconds)}{f' ({members} members)' if stage == 'retrain' and members > 1 else ''}"
            for stage, seconds in stages.items()
        )


def in_words(seconds: float) -> str:
    """Such as ``40 s``, ``3 min`` or ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
