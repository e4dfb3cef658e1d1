"""Which candidate of a short list is retrained, from the figures of its trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.artifacts.run import Architecture
from dashdeploy.data.task import Task
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.selection.paired_difference import Figure, difference, standard_error

ROUNDING = 1e-6
"""Relative error of figures, which are computed in float32."""


class Score(FrozenModel):
    """One training of a candidate.

    Attributes:
        seconds: that it took.
        loss: on the samples that it held out; None if it diverged.
        metric: the same.
    """

    seconds: float
    loss: Figure | None = None
    metric: Figure | None = None


def compare(
    candidates: Sequence[Architecture],
    known: Mapping[tuple[int, int], Score],
    task: Task,
    settings: RunSettings,
    folds: int,
) -> list[dict[str, Any]]:
    """A row for ``shortlist.json`` per candidate; the last is the original kernels.

    Args:
        candidates: the short list.
        known: scores by candidate and fold; some are missing if time ran out.
        task: tells which way is up.
        settings: by which figure they are compared.
        folds: how many there are.
    """
    scores = _comparable(known, len(candidates), folds)
    return [
        {
            "candidate": index,
            "kernels": [[layer.kernel_size, layer.dilation] for layer in candidate.layers],
            "folds": len(of_this),
            "loss": _mean(of_this, "loss"),
            "validation": _mean(of_this, "metric"),
            **_advantage(of_this, scores[-1], task, settings),
        }
        for index, (candidate, of_this) in enumerate(zip(candidates, scores, strict=True))
    ]


def survivors(rows: Sequence[Mapping[str, Any]], count: int) -> list[int]:
    """The candidates of the best `count` rows, and the last one's, which is the original kernels; in their order.

    By the loss, which tells them apart after short trainings already, when metrics are still close to chance.
    """
    judged = sorted((row for row in rows[:-1] if row["loss"] is not None), key=lambda row: float(row["loss"]))
    kept = {row["candidate"] for row in judged[:count]} | {rows[-1]["candidate"]}
    return [row["candidate"] for row in rows if row["candidate"] in kept]


def best(rows: Sequence[Mapping[str, Any]], task: Task, settings: RunSettings) -> int:
    """The row with the best figure of those that are surely better than the last, which is the original kernels.

    Of equals, the first, which has most of what was found. If the original kernels diverged, none has to be better.
    """
    judged = [row for row in rows if row["loss"] is not None]
    if not judged:
        return int(rows[0]["candidate"])
    if rows[-1] in judged and settings.shortlist_margin:
        judged = [row for row in judged if _is_surely_better(row, settings)] or [rows[-1]]
    return int(min(judged, key=_figure(task, settings))["candidate"])


def _figure(task: Task, settings: RunSettings) -> Callable[[Mapping[str, Any]], tuple[float, float]]:
    """What rows are ordered by; less is better."""
    sign = -1 if task.metric.higher_is_better else 1

    def figure(row: Mapping[str, Any]) -> tuple[float, float]:
        value = sign * row["validation"]
        return (row["loss"], value) if settings.shortlist_by == "loss" else (value, row["loss"])

    return figure


def verdict(rows: Sequence[Mapping[str, Any]], chosen: int, task: Task, settings: RunSettings) -> str:
    """The choice in words."""
    by = _compared_by(task, settings)
    row = next(row for row in rows if row["candidate"] == chosen)
    if row is rows[-1]:
        margin = f"{settings.shortlist_margin:g} standard error" + "s" * (settings.shortlist_margin != 1)
        return f"short list: the original kernels stay; no candidate has a better {by} by more than {margin}"
    if row["gain"] is None:
        return f"short list: candidate {chosen + 1} is chosen; there is nothing to compare it with"
    error = "unknown" if row["standard_error"] is None else f"{row['standard_error']:.4f}"
    return (
        f"short list: candidate {chosen + 1} is chosen; its {by} is better than that of the original kernels by "
        f"{row['gain']:.4f}, standard error {error}"
    )


def verdict_on_scaled(row: Mapping[str, Any], better: bool, task: Task, settings: RunSettings) -> str:
    """In words, whether the winner scales each series by itself."""
    if row["gain"] is None:
        return "short list: it takes series as they are; there is nothing to compare that with"
    how = "scales each series by itself" if better else "takes series as they are"
    return f"short list: it {how}; its {_compared_by(task, settings)} is better by {abs(row['gain']):.4f}"


def verdict_on_branches(row: Mapping[str, Any], better: bool, task: Task, settings: RunSettings) -> str:
    """In words, whether the winner is retrained by branches."""
    if row["gain"] is None:
        return "short list: it is retrained without branches; there is nothing to compare them with"
    how, by = "by branches" if better else "without branches", _compared_by(task, settings)
    return f"short list: it is retrained {how}; its {by} is better by {abs(row['gain']):.4f}"


def verdict_on_towers(row: Mapping[str, Any], better: bool, task: Task, settings: RunSettings) -> str:
    """In words, whether the winner's towers are taken in place of one network."""
    by = _compared_by(task, settings)
    if row["gain"] is None:
        return "short list: one network stays; there is nothing to compare its towers with"
    network = (
        "two narrower networks side by side are chosen; their"
        if better
        else "one network stays, not two narrower ones; its"
    )
    return f"short list: {network} {by} is better by {abs(row['gain']):.4f}"


def _compared_by(task: Task, settings: RunSettings) -> str:
    return "loss" if settings.shortlist_by == "loss" else task.metric.name


def _comparable(known: Mapping[tuple[int, int], Score], candidates: int, folds: int) -> list[list[Score]]:
    """The scores of each candidate on the folds that all have; none of one that is missing or diverged in any.

    If time ran out before any was whole, those that have the first one are compared.
    """
    whole = [fold for fold in range(folds) if all((index, fold) in known for index in range(candidates))]
    scores = [
        [known[index, fold] for fold in whole or [0] if (index, fold) in known] for index in range(candidates)
    ]
    return [each if all(score.loss is not None for score in each) else [] for each in scores]


def _figures(scores: Sequence[Score], name: str) -> list[Figure]:
    return [figure for score in scores if isinstance(figure := getattr(score, name), Figure)]


def _mean(scores: Sequence[Score], name: str) -> float | None:
    return fmean(figure.value for figure in _figures(scores, name)) if scores else None


def _advantage(
    scores: Sequence[Score], original: Sequence[Score], task: Task, settings: RunSettings
) -> dict[str, float | None]:
    """How much better than the original kernels, and the standard error of that; None if either is unknown."""
    if not scores or not original or scores is original:
        return {"gain": None, "standard_error": None}
    by = settings.shortlist_by
    figures = _figures(scores, by), _figures(original, by)
    lower_is_better = by == "loss" or not task.metric.higher_is_better
    gain = difference(*figures) * (-1 if lower_is_better else 1)
    error = standard_error(*figures)
    return {"gain": gain, "standard_error": error if math.isfinite(error) else None}


def _is_surely_better(row: Mapping[str, Any], settings: RunSettings) -> bool:
    """Whether it leads by more than the margin, and not only by rounding: one fold that differs leads by just 1."""
    gain, error = row["gain"], row["standard_error"]
    if gain is None or error is None:
        return False
    figure = row["loss"] if settings.shortlist_by == "loss" else row["validation"]
    return bool(gain > settings.shortlist_margin * error + ROUNDING * abs(figure))
