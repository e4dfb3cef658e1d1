"""The hyperparameters of retraining, and where a tuning looks for them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import Trial

from dashdeploy.artifacts.run import Architecture
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import MOST_SEEDS
from dashdeploy.search.tuning.study import quiet_optuna


@dataclass(frozen=True)
class Hyperparameters:
    """One choice.

    Attributes:
        learning_rate: peak rate of the weights.
        weight_decay: on all weights.
        momentum: of SGD.
        dropout: of the backbone; None if it has none.
        seed: of the initial weights and the order of the data; None leaves that of the run.
    """

    learning_rate: float
    weight_decay: float
    momentum: float
    dropout: float | None = None
    seed: int | None = None

    def __str__(self) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {value if name == 'seed' else format(value, '.3g')}"
            for name, value in asdict(self).items()
            if value is not None
        )

    def as_dict(self) -> dict[str, float | None]:
        """By name."""
        return asdict(self)

    def applied(self, settings: RunSettings) -> RunSettings:
        """`settings` with these in their places."""
        return settings.model_copy(
            update={name: value for name, value in asdict(self).items() if value is not None}
        )

    def applied_to(self, architecture: Architecture) -> Architecture:
        """`architecture` with the dropout among its backbone's arguments, if there is one."""
        if self.dropout is None:
            return architecture
        arguments = architecture.arguments | {"dropout": self.dropout}
        own = {name: value for name, value in architecture.searched_arguments.items() if name != "dropout"}
        return architecture.model_copy(update={"arguments": arguments, "searched_arguments": own})


def untuned(settings: RunSettings, *, dropout: bool) -> Hyperparameters:
    """What the settings say themselves."""
    return Hyperparameters(
        settings.learning_rate,
        settings.weight_decay,
        settings.momentum,
        (settings.dropout or 0.0) if dropout else None,
    )


def groups(settings: RunSettings, *, dropout: bool) -> list[list[dict[str, Any]]]:
    """The trials: of the grid one group per learning rate, in order; of the others one that the sampler fills in."""
    if settings.tune in ("tpe", "asha"):
        return [[{} for _ in range(settings.tune_trials)]]
    axes: dict[str, Sequence[float]] = {
        "weight_decay": settings.tune_weight_decays,
        "momentum": settings.tune_momenta,
    }
    if dropout:
        axes["dropout"] = settings.tune_dropouts
    return [
        [
            {"learning_rate": rate, **dict(zip(axes, values, strict=True))}
            for values in itertools.product(*axes.values())
        ]
        for rate in settings.tune_learning_rates
    ]


def drawn(settings: RunSettings, *, dropout: bool) -> list[dict[str, Any]]:
    """The trials of successive halving in their order: drawn at random, which depends on the run's seed alone.

    Each has a seed of its own.
    """
    with quiet_optuna():
        study = optuna.create_study(sampler=RandomSampler(seed=settings.seed))
        for number in range(settings.tune_trials):
            study.enqueue_trial({"seed": (settings.seed + number) % MOST_SEEDS})
            suggest(study.ask(), settings, dropout=dropout)
    return [trial.params for trial in study.trials]


def suggest(trial: Trial, settings: RunSettings, *, dropout: bool) -> Hyperparameters:
    """Ask the study for one choice: from the lists for the grid, else between their ends.

    As in DASHA, successive halving takes one of the dropouts and also chooses the initial weights.
    """
    halves = settings.tune == "asha"

    def choose(name: str, values: Sequence[float], *, log: bool = False, listed: bool = False) -> float:
        low, high = min(values), max(values)
        if settings.tune == "grid" or listed or low == high:
            return float(trial.suggest_categorical(name, list(values)))
        return trial.suggest_float(name, low, high, log=log and low > 0)

    return Hyperparameters(
        learning_rate=choose("learning_rate", settings.tune_learning_rates, log=True),
        weight_decay=choose("weight_decay", settings.tune_weight_decays, log=True),
        momentum=choose("momentum", settings.tune_momenta),
        dropout=choose("dropout", settings.tune_dropouts, listed=halves) if dropout else None,
        seed=trial.suggest_int("seed", 0, MOST_SEEDS - 1) if halves else None,
    )
