"""What is settled before the first phase of a run: what is refused, the size of the network, and the plan."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.progress import Progress
from dashdeploy.search.config.phases import TimePlan, wants_latency
from dashdeploy.search.config.run_settings import RunSettings, run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.ranks import check_devices
from dashdeploy.search.latency.loss_term import LatencyTable
from dashdeploy.search.latency.table import latency_table
from dashdeploy.search.run_writer import RunWriter
from dashdeploy.search.selection.branches import check_branches
from dashdeploy.search.selection.cross_validation import check_folds
from dashdeploy.search.selection.network_size import choose_size
from dashdeploy.search.selection.scaled_samples import check_scaled_samples
from dashdeploy.search.selection.towers import check_towers
from dashdeploy.search.staging.directory import staging_path
from dashdeploy.search.staging.run_config import check_same, run_config, stored_plan
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.computation_rates import ComputationRates, rates_of_run, with_choices
from dashdeploy.search.supernet.networks import check_retrained, supernet_of
from dashdeploy.search.time_plan import plan_of_run
from dashdeploy.search.training.augmentation import check_augmentation
from dashdeploy.search.training.history import check_logger
from dashdeploy.search.tuning.study import check_storage

FEWEST_TRAINING_SAMPLES = 2  # batch norm cannot normalize a lone sample


@dataclass(frozen=True)
class Preparation:
    """What a run goes by.

    Attributes:
        whole: the settings with time enough.
        plan: what it is going to do.
        kept: the convolutions that are not searched, each with the reason.
        rates: by which the supernet's layers choose how they are computed.
        latencies: what candidates cost, if that counts.
        before: seconds that an interrupted call took for all this.
    """

    whole: RunSettings
    plan: TimePlan
    kept: dict[str, str]
    rates: ComputationRates
    latencies: LatencyTable | None
    before: float = 0.0


def prepare(
    task: Task, asked: SearchSettings, out: Path, end: float, progress: Progress, *, resume: bool
) -> Preparation:
    """Settle everything that does not need the run's folder, whose unfinished content is read if it is resumed.

    Args:
        task: the data, the loss and the metric.
        asked: the settings as they were asked for.
        out: where the run is to appear.
        end: when it is to end, as ``time.perf_counter()`` tells it.
        progress: told of what is measured and chosen.
        resume: whether an unfinished run goes on.

    Raises:
        InputError: the task and the settings do not fit, or the unfinished run cannot be read.
        MissingCapabilityError: the settings ask for a device, a target or a package that this machine lacks.
    """
    started = time.perf_counter()
    whole = run_settings(task, asked)
    supernet, kept = check(task, whole)
    for note in task.notes:
        progress(note)
    check_storage(whole)  # by this process alone, since it makes the tables
    plan = stored_plan(staging_path(out), asked) if resume else None
    if plan is not None:
        check_same(staging_path(out), run_config(task, asked, plan))
    sizes: list[dict[str, Any]] = []
    if plan is None:
        sized, sizes = choose_size(task, asked, whole, end, progress)
    else:
        arguments = plan.settings.searched_arguments
        sized = whole.model_copy(update={"searched_arguments": arguments})
    if sized != whole:
        whole = sized
        supernet, kept = supernet_of(task, whole)
    latencies = None
    if wants_latency(asked):
        latencies = latency_table(task, whole, agg_convs(supernet), progress)
    known = RunWriter(staging_path(out)).known_rates() if resume else None
    rates = rates_of_run(known, whole, progress)
    if known is None:
        rates = with_choices(rates, supernet, task, whole, progress)
    if plan is not None:
        return Preparation(whole, plan, kept, rates, latencies, plan.preparing)
    plan = plan_of_run(task, asked, whole, rates.rates, end, progress)
    if plan.seconds:  # else nothing was timed, and equal runs have equal files
        plan = replace(plan, sizes=sizes, preparing=round(time.perf_counter() - started, 3))
    return Preparation(whole, plan, kept, rates, latencies)


def check(task: Task, settings: RunSettings) -> tuple[nn.Module, dict[str, str]]:
    """Refuse what cannot work before anything is written.

    Returns:
        The supernet, and the convolutions that are not searched, each with the reason.
    """
    count = len(task.train.targets)
    if count < FEWEST_TRAINING_SAMPLES:
        raise InputError(f"task {task.name}: {count} training samples are too few to train")
    check_augmentation(task, settings)
    check_folds(task, settings)
    check_towers(task, settings)
    check_devices(settings, count, len(task.validation.targets))
    check_logger(settings)
    supernet, kept = supernet_of(task, settings)
    check_branches(task, settings)
    check_scaled_samples(task, settings)
    check_retrained(task, settings, agg_convs(supernet))
    return supernet, kept
