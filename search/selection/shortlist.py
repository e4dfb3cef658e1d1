"""Short trainings decide between what the search found and what the backbone had.

The architecture parameters of a short search are often close to undecided, and then the largest of them says little.
So a short list is trained, each candidate with the same seeds and budget, and one of it is retrained: the best of
those that are surely better than the original kernels, or else these. Small data sets are judged by cross-validation
over all training data. A long list is trained for a short while first, and only the best of it for longer. At last
the winner is compared with itself trained by branches, and with two narrower networks of its kernels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.run import Architecture
from dashdeploy.data.task import Task
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.processes import from_all
from dashdeploy.search.distributed.ranks import devices_of, rank
from dashdeploy.search.selection.branches import asks_for_branches
from dashdeploy.search.selection.candidates import shortlist
from dashdeploy.search.selection.choice import (
    Score,
    best,
    compare,
    survivors,
    verdict,
    verdict_on_branches,
    verdict_on_towers,
)
from dashdeploy.search.selection.cross_validation import folds_of
from dashdeploy.search.selection.short_training import in_words, judged, short_phase
from dashdeploy.search.selection.towers import TOWERS, asks_for_towers, divided
from dashdeploy.search.staging.directory import CHECKPOINTS_NAME, write_json

Scores = dict[tuple[int, int], Score]
"""By candidate and fold."""
SCORES_NAME = "shortlist.scores.{}.{}.json"
"""By the round, and the rank of the process that trained them."""
SURVIVORS = 2
"""Candidates of a long list that the last round has, besides the original kernels."""
LATER = ("branches", "towers")
"""What the winner is compared with, in this order."""
LAST_OVER_FIRST = 3
"""How many times as long the trainings of the last round are as those of the first."""


@dataclass(frozen=True)
class Shortlisted:
    """What the short list chose.

    Attributes:
        architecture: what is retrained.
        comparison: the content of ``shortlist.json``: every candidate's figures, and which was chosen.
        seconds: that the trainings took, on the process that took longest.
    """

    architecture: Architecture
    comparison: dict[str, Any]
    seconds: float

    def validation(self) -> dict[str, float | None]:
        """The validation figures of the chosen candidate and of the backbone's own kernels, which are last."""
        rows = self.comparison["candidates"]
        later = [row for name in LATER if (row := self.comparison.get(name)) and row["chosen"]]
        chosen = [rows[self.comparison["chosen"]], *later][-1]
        return {"searched": chosen["validation"], "backbone": rows[-1]["validation"]}

    def applied(self, settings: RunSettings) -> RunSettings:
        """`settings` with what was found out about the training of the network: whether it has branches."""
        if settings.reparameterize is not None:
            return settings
        branches = self.comparison.get("branches")
        return settings.model_copy(update={"reparameterize": bool(branches and branches["chosen"])})


def choose_from_shortlist(
    task: Task,
    settings: RunSettings,
    found: Architecture,
    folder: Path,
    *,
    seconds: float | None = None,
    progress: Progress = silent,
) -> Shortlisted:
    """Train the short list and give the best of it.

    The processes of a run on several devices share the trainings; that of rank 0 has the last word.

    Args:
        task: the data; the test split is not looked at.
        settings: how many candidates, passes and folds, and how sure the choice has to be.
        found: what the search found; it is first on the list.
        folder: the unfinished run, where the scores are kept from which an interrupted call goes on.
        seconds: how long it may take; what is trained by then decides, at the least what was found and the original
            kernels on one fold.
        progress: told of every training, and of the choice.
    """
    candidates = shortlist(found, settings.shortlist)
    rows: dict[int, dict[str, Any]] = {}
    alive, spent = list(range(len(candidates))), 0.0
    later = comparisons(task, settings)
    plan = rounds(settings, len(candidates), later=len(later))
    by_branches: set[int] = set()

    def compared(alive: Sequence[int], new: Sequence[int], round_: Round) -> list[dict[str, Any]]:
        """The rows of the candidates `alive`, once `new` of them are trained, or what there is time for."""
        nonlocal spent
        share = None if seconds is None else seconds * round_.cost / sum(each.cost for each in plan)
        ways = [
            settings.model_copy(update={"reparameterize": True}) if index in by_branches else settings
            for index in range(len(candidates))
        ]
        parts = from_all(_train(task, ways, candidates, new, round_, folder, share, progress))
        # The processes work at the same time, so the list takes as long as the slowest.
        spent += max(sum(score.seconds for (i, _), score in part.items() if i in new) for part in parts)
        known = {
            (alive.index(i), fold): score for part in parts for (i, fold), score in part.items() if i in alive
        }
        ordered = compare([candidates[i] for i in alive], known, task, settings, round_.folds)
        return [row | {"candidate": alive[row["candidate"]], "round": round_.number + 1} for row in ordered]

    for round_ in plan[: len(plan) - len(later)]:
        if round_.number:
            alive = survivors([rows[index] for index in alive], SURVIVORS)
            progress(f"short list: {len(alive) - 1} candidates stay, with the original kernels")
        rows |= {row["candidate"]: row for row in compared(alive, alive, round_)}
    last = [rows[index] for index in alive]
    chosen = best(last, task, settings)
    progress(verdict(last, chosen, task, settings))
    architecture = candidates[chosen]
    comparison = {
        "metric": task.metric.name,
        "folds": plan[-1].folds,
        "by": settings.shortlist_by,
        "margin": settings.shortlist_margin,
        "chosen": chosen,
        "candidates": [rows[index] for index in range(len(candidates))],
    }
    winner = chosen
    for name in later:
        index = len(candidates)
        if name == "branches" or winner in by_branches:
            by_branches.add(index)
        candidates.append(architecture if name == "branches" else divided(architecture, TOWERS, task.kind))
        row = compared([index, winner], [index], plan[-1])[0]
        better = bool(row["gain"] is not None and row["gain"] > 0)
        if name == "branches":
            progress(verdict_on_branches(row, better, task, settings))
        else:
            progress(verdict_on_towers(row, better, task, settings))
            row |= {"towers": TOWERS}
        comparison[name] = row | {"chosen": better}
        if better:
            winner, architecture = index, candidates[index]
    return Shortlisted(architecture, comparison, spent)


def comparisons(task: Task, settings: RunSettings) -> list[str]:
    """What the winner of the list is compared with, of `LATER`."""
    asked = {
        "branches": asks_for_branches(task, settings),
        "towers": asks_for_towers(task, settings),
    }
    return [name for name in LATER if asked[name]]


@dataclass(frozen=True)
class Round:
    """One round of the list.

    Attributes:
        number: from 0.
        candidates: how many are trained, the original kernels included.
        folds: how many parts of the data are held out, one after the other.
        epochs: of each training.
    """

    number: int
    candidates: int
    folds: int
    epochs: int

    @property
    def trainings(self) -> int:
        """How many there are."""
        return self.candidates * self.folds

    @property
    def cost(self) -> int:
        """The epochs of all trainings together."""
        return self.trainings * self.epochs


def rounds(settings: RunSettings, candidates: int, *, later: int) -> list[Round]:
    """A long list is cut down by short trainings first (successive halving).

    What the winner is compared with later is trained as the candidates of the last round were, each after it.

    K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
    Every training starts anew, since its learning rate has to fall to nothing before it can be judged.
    """
    parts, epochs = min(settings.shortlist_parts, settings.shortlist_folds), settings.shortlist_epochs
    short = -(-epochs // LAST_OVER_FIRST)
    if candidates <= SURVIVORS + 1 or short == epochs:
        kernels = [Round(0, candidates, parts, epochs)]
    else:
        kernels = [Round(0, candidates, 1, short), Round(1, SURVIVORS + 1, parts, epochs)]
    return [*kernels, *[Round(kernels[-1].number, 1, parts, epochs)] * later]


def _train(
    task: Task,
    ways: Sequence[RunSettings],
    candidates: Sequence[Architecture],
    alive: Sequence[int],
    round_: Round,
    folder: Path,
    seconds: float | None,
    progress: Progress,
) -> Scores:
    """This process's part of a round's trainings, those of an interrupted call included.

    Each candidate has settings of its own, `ways`. Fold by fold, so that all candidates can be compared whenever time
    runs out; the original kernels first, since all others are compared with them.
    """
    started, settings = time.perf_counter(), ways[0]
    devices, path = devices_of(settings), _scores_path(folder, settings, round_)
    known = _read(path)
    first, last = alive[0], alive[-1]
    for fold, part in enumerate(
        islice(folds_of(task, settings.shortlist_folds, settings.seed), round_.folds)
    ):
        for place, index in enumerate((last, *alive[:-1])):
            late = seconds is not None and time.perf_counter() - started >= seconds
            if (
                (fold * len(alive) + place) % devices.processes != rank(devices)
                or (index, fold) in known
                or (late and (index, fold) not in {(last, 0), (first, 0)})
            ):
                continue
            own = ways[index]
            phase = short_phase(own, round_.epochs, own.epoch_passes, own.shortlist_share)
            score = known[index, fold] = judged(part, own, candidates[index], fold, folder, phase)
            write_json(path, {f"{i}.{f}": each.model_dump() for (i, f), each in known.items()})
            figures = (None if each is None else each.value for each in (score.metric, score.loss))
            words = in_words(task, *figures)
            progress(f"short list, {_place(candidates, ways, index)}{_fold(fold, settings)}: {words}")
    return known


def _scores_path(folder: Path, settings: RunSettings, round_: Round) -> Path:
    return folder / CHECKPOINTS_NAME / SCORES_NAME.format(round_.number, rank(devices_of(settings)))


def _read(path: Path) -> Scores:
    stored: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return {_places(key): Score.model_validate(score) for key, score in stored.items()}


def _places(key: str) -> tuple[int, int]:
    candidate, _, fold = key.partition(".")
    return int(candidate), int(fold)


def _place(candidates: Sequence[Architecture], ways: Sequence[RunSettings], index: int) -> str:
    if candidates[index].towers is not None:
        return "towers"
    if ways[index] is not ways[0]:
        return "branches"
    return f"candidate {index + 1} of {len(candidates)}"


def _fold(fold: int, settings: RunSettings) -> str:
    return "" if settings.shortlist_folds == 1 else f", fold {fold + 1} of {settings.shortlist_folds}"
