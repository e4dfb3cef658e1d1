"""How large the searched network is: short trainings compare smaller networks with the backbone's size.

A network that sees series in patches takes as many more steps in the same time, and its kernels reach as many times
as far. Which size does best depends on the data, so every size is trained for the same part of the steps that a run
would have time for, and judged on the same held-out samples. Kernels are searched in the network that was chosen,
while the unsearched backbone, with which it is compared, keeps its size.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_backbone
from dashdeploy.data.task import Task
from dashdeploy.progress import Progress
from dashdeploy.search.config.phases import has_shortlist, short_phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.ranks import devices_of
from dashdeploy.search.phase_time import EVALUATION, recalibration_steps, retrain_passes, search_passes
from dashdeploy.search.selection.choice import Score
from dashdeploy.search.selection.cross_validation import folds_of
from dashdeploy.search.selection.short_training import in_words, judged
from dashdeploy.search.step_time import SLOW, StepSeconds, computing_with, step_seconds, thread_counts
from dashdeploy.search.supernet.networks import backbone_arguments, backbone_name
from dashdeploy.search.time_plan import leaves_epochs_open, time_plan

BACKBONES = ("resnet1d",)
"""Those whose patches are tried. WRN has them as well, but of images a short training does not tell which size is
right: the largest one learns most in a step."""
LEAST_POSITIONS, LONG = 100, 1000
"""What patches leave of a series at least, and the length from which they are tried even with time enough."""
SUPERNET, SEARCHED = 4.0, 1.2
"""About how many times as long as of the original kernels a step of the supernet, and of large kernels, takes."""
ENOUGH = 0.5
"""The part of a search's steps from which the backbone's own size is searched without a question."""
HOPELESS = 200
"""The steps of a final training below which a size is not tried, if the backbone's own would have as many with time
enough: a tenth of them would say nothing."""
MOST = 5
"""Sizes that are tried."""
TIME, PART, MOST_PART, FEWEST = 0.1, 0.1, 0.25, 10
"""The part of the run's time for these trainings, the part of a final training's steps that they need to be compared,
that they have at most, and their least steps."""


@dataclass(frozen=True)
class Size:
    """A size that the searched network may have.

    Attributes:
        arguments: of the backbone's factory, in place of the backbone's own; none is its own size.
        cost: multiply-adds beside those of the backbone's own size, about.
    """

    arguments: Mapping[str, bool | int | float | str]
    cost: float

    def __str__(self) -> str:
        return json.dumps(dict(self.arguments)) if self.arguments else "its own size"


@dataclass(frozen=True)
class _Planned:
    """A size, with the seconds of a step, and what there is time for: steps of a training, the part of a search."""

    size: Size
    step: float
    steps: int
    searched: float


def sizes(task: Task, settings: SearchSettings) -> list[Size]:
    """The backbone's own size, and smaller ones by their cost; what the settings name stays as it is.

    Args:
        task: tells the axes of its inputs.
        settings: the backbone and its arguments.
    """
    given = {**settings.backbone_arguments, **settings.retrain_arguments}
    most = 1
    if backbone_name(task, settings) in BACKBONES and "patch" not in given and not task.dense:
        most = max(1, task.input_shape[-1] // LEAST_POSITIONS)
    patches = [2**power for power in range(int(math.log2(most)) + 1)]
    return [Size({"patch": patch} if patch > 1 else {}, 1 / patch) for patch in patches]


def choose_size(
    task: Task, asked: SearchSettings, whole: RunSettings, deadline: float, progress: Progress
) -> tuple[RunSettings, list[dict[str, Any]]]:
    """`whole` with the size that does best, for long series and where the time is short for the backbone's own.

    Args:
        task: the data; the test split is not looked at.
        asked: the settings; where they name epochs or a size, nothing is chosen.
        whole: what comes of them with time enough.
        deadline: when the run is to end, as ``time.perf_counter()`` tells it.
        progress: told of what is tried.

    Returns:
        The settings, and a row for ``config.json`` per size that there is time for; none where nothing was chosen. A
        single one needs no trainings.
    """
    found = sizes(task, asked)
    if (
        asked.searched_arguments is not None
        or not has_shortlist(asked)
        or not leaves_epochs_open(asked)
        or len(found) == 1
    ):
        return whole, []
    seconds = deadline - time.perf_counter()
    tried, threads = _worth_trying(task, asked, whole, found, seconds)
    if not tried:
        return whole, []
    if len(tried) == 1:
        rows = [_row(tried[0], 0, [])]
    else:
        progress(f"{len(tried)} sizes of the network are compared by short trainings")
        with torch.random.fork_rng(), computing_with(threads):
            rows = _compare(task, whole, tried, seconds, progress)
    # Of those that all diverged, the smallest; of equals as well, since it is the quickest.
    losses = [math.inf if row["loss"] is None else float(row["loss"]) for row in rows]
    best = min(reversed(range(len(rows))), key=losses.__getitem__)
    rows[best]["chosen"], size = True, tried[best].size
    progress(f"the searched network has {size}" + ("; the backbone keeps its own" if size.arguments else ""))
    return whole.model_copy(update={"searched_arguments": dict(size.arguments)}), rows


def _worth_trying(
    task: Task, asked: SearchSettings, whole: RunSettings, found: Sequence[Size], seconds: float
) -> tuple[list[_Planned], int | None]:
    """The sizes to try, and with how many threads; none if the backbone's own size suits the data and the time."""
    is_long = task.input_shape[-1] >= LONG
    batches = max(1, len(task.train.targets) // whole.batch_size)
    smallest, threads = _timed(task, whole, found[-1])

    def planned(size: Size, step: float, own: float) -> _Planned:
        changed = whole.model_copy(update={"searched_arguments": dict(size.arguments)})
        about = StepSeconds(SUPERNET * step, SEARCHED * step, own)
        plan = time_plan(task, asked, changed, about, seconds)
        searched = search_passes(plan.settings) / search_passes(whole)
        return _Planned(size, step, round(retrain_passes(plan.settings) * batches), searched)

    def seconds_of(size: Size, own: float) -> float:
        about = own * size.cost
        return about if about > SLOW else _timed(task, whole, size)[0]

    # A small network spends more on each number, so this is too much for a larger one rather than too little.
    at_most = smallest / found[-1].cost
    if not is_long and planned(found[0], at_most, at_most).searched >= ENOUGH:
        return [], None
    own = seconds_of(found[0], at_most)
    first = planned(found[0], own, own)
    if not is_long and first.searched >= ENOUGH:
        return [], None
    between = [planned(size, seconds_of(size, own), own) for size in found[1:-1]]
    tried = [first, *between, planned(found[-1], smallest, own)]
    least = min(HOPELESS, round(retrain_passes(whole) * batches))
    hopeful = [each for each in tried if each.steps >= least] or tried[-1:]
    return hopeful[:MOST], threads


def _timed(task: Task, whole: RunSettings, size: Size) -> tuple[float, int | None]:
    """Seconds of a step, and the number of threads with which it takes so long; None is torch's own."""
    counts = thread_counts(whole)
    with torch.random.fork_rng():
        network = build_backbone(
            backbone_name(task, whole), backbone_arguments(task, whole, retrain=True) | dict(size.arguments)
        )
        seconds = step_seconds(network, task, whole, counts)
    least = min(range(len(counts)), key=lambda place: seconds[place])
    return seconds[least], None if least == 0 else counts[least]


def _sizes_of_parts(task: Task, whole: RunSettings) -> tuple[int, int]:
    """How many samples are held out by a short training, at most, and how many it learns from."""
    held_out, samples = len(task.validation.targets), len(task.train.targets)
    if whole.shortlist_folds > 1:
        total = held_out + samples
        held_out = -(-total // whole.shortlist_folds)
        samples = total - held_out
    return held_out, samples


def _compare(
    task: Task, whole: RunSettings, tried: Sequence[_Planned], seconds: float, progress: Progress
) -> list[dict[str, Any]]:
    """A row per size, after trainings of each with the same part of its steps."""
    # Held-out samples are looked at by the training's end, and by its judge.
    held_out, samples = _sizes_of_parts(task, whole)
    judging = 2 * EVALUATION * held_out / whole.batch_size + recalibration_steps(task, whole, samples)
    # A step was timed with this process's part of a batch, and these trainings are on one device.
    once = devices_of(whole).processes * sum(each.step for each in tried)
    whole_trainings = devices_of(whole).processes * sum(each.steps * each.step for each in tried)

    def part_of(folds: int) -> float:
        """The part of their steps for which there is time."""
        return (TIME * seconds / folds - judging * once) / whole_trainings

    # Longer trainings tell more than further folds.
    count = max(1, sum(part_of(folds) >= PART for folds in range(1, whole.shortlist_folds + 1)))
    part = min(MOST_PART, part_of(count))
    rows = []
    batches = max(1, samples // whole.batch_size)
    for each in tried:
        wanted = max(FEWEST, part * each.steps)
        passes = math.ceil(wanted / batches)
        share = wanted / batches / passes
        phase = short_phase("shortlist", whole, 1, passes, share)
        steps = passes * max(1, round(share * batches))
        candidate = Architecture(
            backbone=backbone_name(task, whole),
            arguments=backbone_arguments(task, whole, retrain=True),
            searched_arguments=dict(each.size.arguments),
            kernel_sizes=list(whole.kernel_sizes),
            dilations=list(whole.dilations),
            layers=[],
        )
        with tempfile.TemporaryDirectory() as folder:
            scores = [
                judged(fold, whole, candidate, number, Path(folder), phase)
                for number, fold in enumerate(
                    islice(folds_of(task, whole.shortlist_folds, whole.seed), count)
                )
            ]  # one fold at a time, since each is a copy
        rows.append(_row(each, steps, scores))
        words = in_words(task, rows[-1]["validation"], rows[-1]["loss"])
        progress(f"size: {each.size}, {steps} of {each.steps} steps: {words}")
    return rows


def _row(planned: _Planned, steps: int, scores: Sequence[Score]) -> dict[str, Any]:
    losses = [score.loss.value for score in scores if score.loss is not None]
    metrics = [score.metric.value for score in scores if score.metric is not None]
    diverged = not losses or len(losses) < len(scores) or not math.isfinite(sum(losses))
    return {
        "arguments": dict(planned.size.arguments),
        "step_ms": round(1000 * planned.step, 3),
        "steps": steps,
        "loss": None if diverged else fmean(losses),
        "validation": None if diverged else fmean(metrics),
        "chosen": False,
    }
