"""The hyperparameters of retraining, and where a tuning looks for them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import Trial

from dashdeploy.artifacts.run import Architecture
from dashdeploy.search.config.run_settings import RunSettings


@dataclass(frozen=True)
class Hyperparameters:
    """One choice.

    Attributes:
        learning_rate: peak rate of the weights.
        weight_decay: on all weights.
        momentum: of SGD.
        dropout: of the backbone; None if it has none.
    """

    learning_rate: float
    weight_decay: float
    momentum: float
    dropout: float | None = None

    def __str__(self) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}"
            for name, value in asdict(self).items()
            if value is not None
        )

    def as_dict(self) -> dict[str, float | None]:
        """By name."""
        return asdict(self)

    def applied(self, settings: RunSettings) -> RunSettings:
        """`settings` with these in their places."""
        return settings.model_copy(
            update=asdict(self) if self.dropout is not None else self._without_dropout()
        )

    def applied_to(self, architecture: Architecture) -> Architecture:
        """`architecture` with the dropout among its backbone's arguments, if there is one."""
        if self.dropout is None:
            return architecture
        arguments = architecture.arguments | {"dropout": self.dropout}
        return architecture.model_copy(update={"arguments": arguments})

    def _without_dropout(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "dropout"}


def untuned(settings: RunSettings, *, dropout: bool) -> Hyperparameters:
    """What the settings say themselves."""
    return Hyperparameters(
        settings.learning_rate,
        settings.weight_decay,
        settings.momentum,
        (settings.dropout or 0.0) if dropout else None,
    )


def groups(settings: RunSettings, *, dropout: bool) -> list[list[dict[str, Any]]]:
    """The trials: of the grid one group per learning rate, in order; of TPE one group that the sampler fills in."""
    if settings.tune == "tpe":
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


def suggest(trial: Trial, settings: RunSettings, *, dropout: bool) -> Hyperparameters:
    """Ask the study for one choice: from the lists for the grid, between their ends for TPE."""

    def choose(name: str, values: Sequence[float], *, log: bool = False) -> float:
        low, high = min(values), max(values)
        if settings.tune == "grid" or low == high:
            return float(trial.suggest_categorical(name, list(values)))
        return trial.suggest_float(name, low, high, log=log and low > 0)

    return Hyperparameters(
        learning_rate=choose("learning_rate", settings.tune_learning_rates, log=True),
        weight_decay=choose("weight_decay", settings.tune_weight_decays, log=True),
        momentum=choose("momentum", settings.tune_momenta),
        dropout=choose("dropout", settings.tune_dropouts) if dropout else None,
    )
