"""The search from beginning to end: its folder, its processes, its phases.

DASH (Shen, Khodak, Talwalkar, NeurIPS 2022) with three differences from its released code: what is searched
is what is retrained (padding, groups and bias included), the epoch is chosen on validation data instead of
test data, and a killed run goes on bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from torch import nn

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.backbones.run import Run
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.phases import (
    PhaseName,
    has_shortlist,
    member_phase,
    member_settings,
    phase_names,
    phases,
)
from dashdeploy.search.config.run_settings import RunSettings, run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.processes import (
    all_processes,
    from_first,
    helper,
    helps_another,
    wait_for_all,
)
from dashdeploy.search.distributed.ranks import device_of, devices_of, rank
from dashdeploy.search.phase_time import retrain_passes
from dashdeploy.search.prepare import Preparation, check, prepare
from dashdeploy.search.run_writer import BACKBONE, FOUND, SHORTLISTED, TUNED, RunWriter, retrained
from dashdeploy.search.selection.kernel_search import Found, search_kernels
from dashdeploy.search.selection.shortlist import Shortlisted, choose_from_shortlist
from dashdeploy.search.selection.towers import as_asked
from dashdeploy.search.staging.directory import (
    check_startable,
    finish_staging_directory,
    open_staging_directory,
    refuses_writing,
    staging_path,
)
from dashdeploy.search.staging.run_config import check_same, run_config, stored_plan
from dashdeploy.search.step_time import computing_with
from dashdeploy.search.time_plan import DEFAULT_SECONDS, with_freed_time
from dashdeploy.search.training.ensemble_scores import ensemble_scores
from dashdeploy.search.training.evaluate import scores_of
from dashdeploy.search.training.history import write_csv
from dashdeploy.search.training.malloc_tuning import keep_freed_memory
from dashdeploy.search.training.time_limit import TimeLimit
from dashdeploy.search.training.train_phase import TrainedNetwork, train_network
from dashdeploy.search.tuning.trial import tuning_of
from dashdeploy.search.tuning.tune import Tuned, help_tuning, tune, worker_name


@keep_freed_memory()
def search(
    task: Task,
    settings: SearchSettings,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress = silent,
    max_seconds: float | None = None,
    started: float | None = None,
) -> Run:
    """Search the kernels that fit `task`, retrain the result, train the unsearched backbone beside it.

    The run is built in ``OUT.partial`` and renamed to `out` when it is finished.

    Args:
        task: the data, the loss and the metric.
        settings: every hyperparameter. What they leave open is chosen to suit the task.
        out: where the run directory is to appear.
        resume: whether to go on with an unfinished run of the same task and settings; a finished one is
            returned as it is.
        progress: told of what is being done; `dashdeploy.progress.to_stderr` shows it.
        max_seconds: about how long the run may take, the parts before an interruption included: it is planned for
            that, and every phase ends with the epoch in which its share runs out. None is planned for
            `time_plan.DEFAULT_SECONDS`, without an eye on the clock.
        started: since when the time counts, as ``time.perf_counter()`` tells it; None is now.

    Returns:
        The finished run.

    Raises:
        InputError: `out` is taken or cannot be written, an unfinished run is in the way or was started with
            other settings, the task and the backbone do not fit, or the training diverged.
        MissingCapabilityError: the settings ask for a device, a target or a package that this machine lacks.
        KeyboardInterrupt: the user interrupted it; the unfinished run can be resumed.
    """
    end = (time.perf_counter() if started is None else started) + (max_seconds or DEFAULT_SECONDS)
    deadline = None if max_seconds is None else end
    if out.exists():
        if resume or helps_another(out):
            return Run.load(out)
        raise InputError(f"{out} already exists; choose another `out`, or remove the folder first")
    if rank(devices_of(settings)):
        return _help(task, settings, out, deadline)
    check_startable(out, resume=resume)
    ready = prepare(task, settings, out, end, progress, resume=resume)
    try:
        with open_staging_directory(out, run_config(task, settings, ready.plan), resume=resume) as folder:
            writer = RunWriter(folder)
            if ready.latencies:
                ready = replace(ready, latencies=writer.latencies(ready.latencies))
            writer.rates(ready.rates)
            with all_processes(devices_of(settings), out), computing_with(ready.plan.threads):
                wait_for_all()
                ready = from_first(ready)
                _run_phases(task, ready, writer, deadline, progress)
                writer.report()
                finish_staging_directory(folder, out)
                wait_for_all()
    except OSError as error:
        if not refuses_writing(error, staging_path(out)):
            raise
        raise InputError(
            f"cannot write {staging_path(out)}: {error.strerror or error}; choose an `out` that is writable "
            "and has room"
        ) from error
    return Run.load(out)


def _help(task: Task, settings: SearchSettings, out: Path, deadline: float | None) -> Run:
    """Take part in the run that another process builds at `out`, on another device."""
    check(task, run_settings(task, settings))
    with all_processes(devices_of(settings), out), helper():
        wait_for_all()
        writer = RunWriter(staging_path(out), writes=False)
        ready = cast("Preparation", from_first(None))  # that of the first process
        _run_phases(task, ready, writer, deadline, silent)
        wait_for_all()
    return Run.load(out)


def _run_phases(
    task: Task,
    ready: Preparation,
    writer: RunWriter,
    deadline: float | None,
    progress: Progress,
) -> None:
    """Search, short list, tuning, retraining of each member, the backbone, and one look at the test data.

    Each phase takes values and gives a value, which `writer` stores, or has stored before an interruption. Every
    process of the run comes by here, with what the first one has prepared.
    """
    plan, settings, folder = ready.plan, ready.plan.settings, writer.folder
    names = phase_names(settings)
    spent = ready.before + writer.seconds_spent(names)
    limit = TimeLimit(deadline, names, plan.seconds or None, before=spent, after=plan.finishing)

    def search_phase() -> Found:
        seconds = limit.share("search")
        return search_kernels(
            task,
            settings,
            ready.kept,
            folder,
            rates=ready.rates,
            latencies=ready.latencies,
            seconds=seconds,
            progress=progress,
        )

    found = writer.value(FOUND, search_phase)

    def shortlist_phase() -> Shortlisted:
        seconds = limit.share("shortlist")
        return choose_from_shortlist(
            task, settings, found.architecture, folder, seconds=seconds, progress=progress
        )

    listed = writer.value(SHORTLISTED, shortlist_phase) if has_shortlist(settings) else None
    chosen = found.architecture if listed is None else listed.architecture
    chosen = as_asked(chosen, task, settings)
    own_settings = settings if listed is None else listed.applied(settings)

    def tune_phase() -> Tuned | None:
        """The processes share the trials, each on its own device; the first one gives what comes of them."""
        if writer.writes:
            tuning = tuning_of(task, own_settings, chosen, folder, progress=progress)
            return tune(tuning, seconds=limit.share("tune"))
        help_tuning(tuning_of(task, own_settings, chosen, folder, worker=worker_name()))
        return None

    tuned = writer.value(TUNED, tune_phase) if settings.tune != "none" else None
    best_settings = own_settings if tuned is None else tuned.chosen.applied(own_settings)
    architecture = chosen if tuned is None else tuned.chosen.applied_to(chosen)
    if writer.writes:
        writer.architecture(architecture)
    members, backbone = _train(task, best_settings, ready.whole, architecture, writer, limit, progress)
    if not writer.writes:
        return
    writer.samples(task.unscaled(task.validation))
    if settings.log == "csv":
        write_csv(folder)
    trained = [member.put_into(build_searched(architecture)) for member in members]
    networks = {
        "searched": trained[0],
        "backbone": backbone.put_into(build_backbone(architecture.backbone, architecture.arguments)),
    }
    before = _figures_before(listed, settings, backbone) if settings.refit else None
    scores = scores_of(networks, task, before=before, device=device_of(settings))
    seconds = {
        "search": found.record["seconds"],
        **({} if listed is None else {"shortlist": listed.seconds}),
        "tune": 0.0 if tuned is None else tuned.seconds,
        "retrain": members[0].record["seconds"],
        "backbone": backbone.record["seconds"],
    }
    together = None
    if len(members) > 1:
        seconds["ensemble"] = sum(member.record["seconds"] for member in members[1:])
        together = ensemble_scores(trained, task, scores["searched"], refit=settings.refit)
    writer.metrics(task, scores, seconds, together)


def _train(
    task: Task,
    settings: RunSettings,
    whole: RunSettings,
    architecture: Architecture,
    writer: RunWriter,
    limit: TimeLimit,
    progress: Progress,
) -> tuple[list[TrainedNetwork], TrainedNetwork]:
    """Train the network that was found, as often as it was asked for, and the unsearched backbone beside it."""
    # If the original kernels won, the backbone would start with the same weights and end with the same, but for
    # branches. Where time lacks for all steps of both, one training of twice as many is worth more.
    same_passes = settings.backbone_epochs in (None, settings.retrain_epochs) and not settings.backbone_share
    same_way = not settings.reparameterize or retrain_passes(settings) < retrain_passes(whole)
    is_one = architecture.towers is None and not architecture.searched_arguments
    originals = all(layer.original for layer in architecture.layers)
    is_backbone = same_passes and same_way and is_one and originals
    if is_backbone:
        settings, limit = with_freed_time(settings, whole), limit.without("backbone")

    def train(name: PhaseName, build: Callable[[], nn.Module], own: RunSettings = settings) -> TrainedNetwork:
        phase, seconds = phases(settings)[name], limit.share(name)
        return train_network(build, task, phase, own, writer.folder, seconds=seconds, progress=progress)

    def member(number: int) -> TrainedNetwork:
        own = member_settings(settings, number)
        return train(member_phase(number), lambda: build_searched(architecture), own)

    members = [writer.value(retrained(n), partial(member, n)) for n in range(1, settings.ensemble + 1)]
    searched = members[0]

    def backbone_phase() -> TrainedNetwork:
        if is_backbone:
            return TrainedNetwork(searched.weights, {"same_as": "retrain", "seconds": 0.0})
        return train("backbone", lambda: build_backbone(architecture.backbone, architecture.arguments))

    return members, writer.value(BACKBONE, backbone_phase)


def _figures_before(
    listed: Shortlisted | None, settings: RunSettings, backbone: TrainedNetwork
) -> dict[str, float | None]:
    """The short list's validation figures: of trainings that did not see the validation data."""
    figures = {} if listed is None else listed.validation()
    if "same_as" in backbone.record:
        return figures | {"backbone": figures.get("searched")}
    # The list's original kernels have another size or other inputs than the backbone, or learned in another way.
    unlike = settings.searched_arguments or settings.reparameterize or settings.scale_samples
    return figures | {"backbone": None} if unlike else figures


def join(task: Task, settings: SearchSettings, out: Path, *, progress: Progress = silent) -> int:
    """Help the process that builds the run `out` with the trials of its tuning, until these are done.

    Args:
        task: as that process has it.
        settings: as that process has them.
        out: where its run is to appear.
        progress: told of every trial.

    Returns:
        How many trials this process ran.

    Raises:
        InputError: `out` holds no unfinished run whose search is over and that tunes, or it was started with
            something else.
    """
    folder = staging_path(out)
    if settings.tune == "none":
        raise InputError(
            "`join`: these settings do not tune; start both processes with `tune=grid`, tpe or asha"
        )
    if out.exists():
        raise InputError(f"`join`: {out} is finished, so it needs no help; leave `join` out")
    writer = RunWriter(folder, writes=False)
    chosen = writer.stored(SHORTLISTED) if has_shortlist(settings) else writer.stored(FOUND)
    if chosen is None:
        raise InputError(
            f"`join`: {folder} has no architecture yet; join once the run is there and its search is over"
        )
    plan = stored_plan(folder, settings)
    assert plan is not None
    check_same(folder, run_config(task, settings, plan))
    architecture = as_asked(chosen.architecture, task, plan.settings)
    own = chosen.applied(plan.settings) if isinstance(chosen, Shortlisted) else plan.settings
    tuning = tuning_of(task, own, architecture, folder, worker=worker_name(), progress=progress)
    return help_tuning(tuning)
