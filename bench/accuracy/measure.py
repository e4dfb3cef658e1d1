"""Accuracy over tasks and seeds: DASH beside its own backbone with the same budget, beside what is published.

Every task and seed is one search, in a process and a run directory of its own: it trains both networks and looks at
the test data once. Finished runs are kept and unfinished ones are continued, so you can stop the whole at any moment
and start it again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.artifacts.run import RunDirectory
from dashdeploy.bench.accuracy.report import AccuracyReport, SeedResult
from dashdeploy.bench.accuracy.search_processes import Search, run_searches, setting_options
from dashdeploy.bench.common.checks import check_count, suggestion
from dashdeploy.data.catalog import TASKS
from dashdeploy.errors import InputError
from dashdeploy.machine import cores
from dashdeploy.progress import Progress, silent


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        tasks: built-in tasks.
        seeds: each task is searched once with each.
        out: the folder of the runs, ``OUT/NAME-seedN``.
        preset: the preset of every search; None leaves the choice to the search.
        settings: further settings of every search, each as ``name=value``.
        jobs: searches at once; None means one per core.
        data: files or folders of the user's own, which are searched as well.
    """

    tasks: Sequence[str]
    seeds: Sequence[int]
    out: Path
    preset: str | None = None
    settings: Sequence[str] = ()
    jobs: int | None = None
    data: Sequence[Path] = ()

    def names(self) -> list[str]:
        """Of all tasks, the user's own last, which are called like their files."""
        return [*self.tasks, *(each.stem for each in self.data)]

    def path(self, task: str, seed: int) -> Path:
        """The run directory of a task and a seed."""
        return self.out / f"{task}-seed{seed}"

    def searches(self) -> list[Search]:
        """All searches, seed by seed, so that an early stop leaves something of every task."""
        options = setting_options(self.preset, self.settings)
        sources = [*[None] * len(self.tasks), *self.data]
        return [
            Search(name, seed, self.path(name, seed), options, data)
            for seed in self.seeds
            for name, data in zip(self.names(), sources, strict=True)
        ]


def measure_accuracy(plan: Plan, *, progress: Progress = silent) -> AccuracyReport:
    """Run what is not there yet, then read all of it.

    A run that fails is reported and does not stop the others.

    Args:
        plan: what is to be run.
        progress: told in one line what is being done.

    Raises:
        InputError: a task is unknown, a seed is given twice, or the folder cannot be written or holds runs that
            were made otherwise.
        KeyboardInterrupt: the user stopped it; the same call continues.
    """
    _check(plan)
    searches = plan.searches()
    waiting = [search for search in searches if not search.out.exists()]
    jobs = plan.jobs or cores()
    done = len(searches) - len(waiting)
    progress(f"{len(searches)} runs, {done} of them finished, {jobs} at a time")
    failures = run_searches(waiting, jobs, progress)
    results = [
        SeedResult.of(each.seed, RunDirectory.load(each.out)) for each in searches if each.out.exists()
    ]
    _check_settings(plan)
    return AccuracyReport(
        provenance=Provenance.now(),
        options=" ".join(setting_options(plan.preset, plan.settings)),
        results=tuple(results),
        failures=tuple(failures),
    )


def _check(plan: Plan) -> None:
    if not plan.names() or len(set(plan.tasks)) < len(plan.tasks):
        raise InputError(f"`tasks={','.join(plan.tasks)}`: give at least one task, and each task once")
    for data in plan.data:
        if not data.exists():
            raise InputError(
                f"`data={data}`: no such file or folder; give data as `dashdeploy search` takes them"
            )
        if data.stem in TASKS or plan.names().count(data.stem) > 1:
            raise InputError(f"`data={data}`: another task is called {data.stem} as well; rename one of them")
    for task in plan.tasks:
        if task not in TASKS:
            raise InputError(f"`tasks={task}`: no such task; {suggestion(task, sorted(TASKS))}")
    if not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise InputError("seeds: give at least one, and each once")
    if plan.jobs is not None:
        check_count("jobs", plan.jobs)
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {plan.out}: {error.strerror}; choose another `out`") from error
    if not os.access(plan.out, os.W_OK):
        raise InputError(f"cannot write {plan.out}; choose an `out` that is writable")
    _check_settings(plan)


def _check_settings(plan: Plan) -> None:
    """Refuse to average runs of one task that were made with different settings, from an earlier call."""
    first: dict[str, tuple[Path, object]] = {}
    for search in plan.searches():
        if not search.out.exists():
            continue
        run = RunDirectory.load(search.out)
        # What was asked for: the steps that there was time for may differ from run to run.
        asked = run.config.get("asked") or run.config.get("settings") or {}
        settings = {name: value for name, value in dict(asked).items() if name != "seed"}
        known, expected = first.setdefault(search.task, (search.out, settings))
        if settings != expected:
            raise InputError(
                f"{search.out} was made with other settings than {known}; choose another `out`, or remove one of "
                "them"
            )
