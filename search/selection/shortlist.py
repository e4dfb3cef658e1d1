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
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.run import Architecture
from dashdeploy.data.task import Task
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.phases import short_phase
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
    verdict_on_scaled,
    verdict_on_towers,
)
from dashdeploy.search.selection.cross_validation import folds_of
from dashdeploy.search.selection.scaled_samples import asks_for_scaled_samples, with_scaled_samples
from dashdeploy.search.selection.short_training import in_words, judged
from dashdeploy.search.selection.towers import TOWERS, asks_for_towers, divided
from dashdeploy.search.staging.directory import CHECKPOINTS_NAME, write_json

Scores = dict[tuple[str, int], Score]
"""By the entry's key and the fold."""
SCORES_NAME = "shortlist.scores.{}.{}.json"
"""By the round, and the rank of the process that trained them."""
SURVIVORS = 2
"""Candidates of a long list that the last round has, besides the original kernels."""
COMPARISONS = {
    "scaled": verdict_on_scaled,
    "branches": verdict_on_branches,
    "towers": verdict_on_towers,
}
"""What the winner is compared with, in this order, and how the outcome is said."""
LAST_OVER_FIRST = 3
"""How many times as long the trainings of the last round are as those of the first."""


@dataclass(frozen=True)
class Entry:
    """What is trained for the list.

    Attributes:
        key: under which its scores are kept: the place on the list, and which of `COMPARISONS` it has beside these
            kernels, such as ``6+branches+towers``.
        architecture: the network.
        branches: whether it learns by branches.
    """

    key: str
    architecture: Architecture
    branches: bool

    @property
    def comparison(self) -> str:
        """The last of its `COMPARISONS`; empty if it has none."""
        return self.key.partition("+")[2].rpartition("+")[2]


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
        later = [row for name in COMPARISONS if (row := self.comparison.get(name)) and row["chosen"]]
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
    listed = shortlist(found, settings.shortlist)
    entries = [Entry(str(i), each, bool(settings.reparameterize)) for i, each in enumerate(listed)]
    rows: dict[int, dict[str, Any]] = {}
    alive, spent = list(range(len(entries))), 0.0
    later = comparisons(task, settings)
    plan = rounds(settings, len(entries), later=len(later))
    costs = list(accumulate(each.cost for each in plan))
    started = time.perf_counter()

    def compared(alive: Sequence[int], new: Sequence[int], place: int) -> list[dict[str, Any]]:
        """The rows of the entries `alive`, once `new` of them are trained, or what there is time for."""
        nonlocal spent
        round_, end = plan[place], None if seconds is None else started + seconds * costs[place] / costs[-1]
        trained = [entries[i] for i in new]
        parts = from_all(_train(task, settings, trained, len(listed), round_, folder, end, progress))
        # The processes work at the same time, so the list takes as long as the slowest.
        mine, keys = {each.key for each in trained}, [entries[i].key for i in alive]
        spent += max(sum(score.seconds for (key, _), score in part.items() if key in mine) for part in parts)
        known = {
            (keys.index(key), fold): score
            for part in parts
            for (key, fold), score in part.items()
            if key in keys
        }
        ordered = compare([entries[i].architecture for i in alive], known, task, settings, round_.folds)
        return [row | {"candidate": alive[row["candidate"]], "round": round_.number + 1} for row in ordered]

    for place in range(len(plan) - len(later)):
        if place:
            alive = survivors([rows[index] for index in alive], SURVIVORS)
            progress(f"short list: {len(alive) - 1} candidates stay, with the original kernels")
        rows |= {row["candidate"]: row for row in compared(alive, alive, place)}
    last = [rows[index] for index in alive]
    chosen = winner = best(last, task, settings)
    progress(verdict(last, chosen, task, settings))
    comparison = {
        "metric": task.metric.name,
        "folds": plan[-1].folds,
        "by": settings.shortlist_by,
        "margin": settings.shortlist_margin,
        "chosen": chosen,
        "candidates": [rows[index] for index in range(len(listed))],
    }
    for place, name in enumerate(later, len(plan) - len(later)):
        index, before = len(entries), entries[winner]
        entries.append(_changed(before, name, task))
        row = compared([index, winner], [index], place)[0]
        better = bool(row["gain"] is not None and row["gain"] > 0)
        progress(COMPARISONS[name](row, better, task, settings))
        comparison[name] = row | ({"towers": TOWERS} if name == "towers" else {}) | {"chosen": better}
        winner = index if better else winner
    return Shortlisted(entries[winner].architecture, comparison, spent)


def _changed(entry: Entry, name: str, task: Task) -> Entry:
    """What `entry` is compared with under `name`."""
    key, network = f"{entry.key}+{name}", entry.architecture
    if name == "branches":
        return replace(entry, key=key, branches=True)
    other = with_scaled_samples(network) if name == "scaled" else divided(network, TOWERS, task.kind)
    return replace(entry, key=key, architecture=other)


def comparisons(task: Task, settings: RunSettings) -> list[str]:
    """What the winner of the list is compared with, of `COMPARISONS`."""
    asked = {
        "scaled": asks_for_scaled_samples,
        "branches": asks_for_branches,
        "towers": asks_for_towers,
    }
    return [name for name in COMPARISONS if asked[name](task, settings)]


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
    settings: RunSettings,
    entries: Sequence[Entry],
    listed: int,
    round_: Round,
    folder: Path,
    end: float | None,
    progress: Progress,
) -> Scores:
    """This process's part of a round's trainings, those of an interrupted call included.

    Fold by fold, so that all entries can be compared whenever time runs out; the original kernels, which are last on
    the list, first, since all others are compared with them. Of a round that begins after its end, these and the
    first entry are trained on one fold; of what the winner is compared with later, nothing.
    """
    devices, path = devices_of(settings), _scores_path(folder, settings, round_)
    known = _read(path)
    least = {each.key for each in (entries[0], entries[-1]) if not each.comparison}
    phase = short_phase("shortlist", settings, round_.epochs, settings.epoch_passes, settings.shortlist_share)
    for fold, part in enumerate(
        islice(folds_of(task, settings.shortlist_folds, settings.seed), round_.folds)
    ):
        for place, entry in enumerate((entries[-1], *entries[:-1])):
            late = end is not None and time.perf_counter() >= end
            if (
                (fold * len(entries) + place) % devices.processes != rank(devices)
                or (entry.key, fold) in known
                or (late and not (fold == 0 and entry.key in least))
            ):
                continue
            own = replace(phase, reparameterize=entry.branches)
            score = known[entry.key, fold] = judged(part, settings, entry.architecture, fold, folder, own)
            write_json(path, {f"{key}.{f}": each.model_dump() for (key, f), each in known.items()})
            figures = (None if each is None else each.value for each in (score.metric, score.loss))
            words = in_words(task, *figures)
            progress(f"short list, {_place(entry, listed)}{_fold(fold, settings)}: {words}")
    return known


def _scores_path(folder: Path, settings: RunSettings, round_: Round) -> Path:
    return folder / CHECKPOINTS_NAME / SCORES_NAME.format(round_.number, rank(devices_of(settings)))


def _read(path: Path) -> Scores:
    stored: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return {_entry_and_fold(key): Score.model_validate(score) for key, score in stored.items()}


def _entry_and_fold(stored: str) -> tuple[str, int]:
    key, _, fold = stored.partition(".")
    return key, int(fold)


def _place(entry: Entry, listed: int) -> str:
    return entry.comparison or f"candidate {int(entry.key) + 1} of {listed}"


def _fold(fold: int, settings: RunSettings) -> str:
    return "" if settings.shortlist_folds == 1 else f", fold {fold + 1} of {settings.shortlist_folds}"
