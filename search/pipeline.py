"""The search from beginning to end: what is refused before it starts, its folder, its processes.

DASH (Shen, Khodak, Talwalkar, NeurIPS 2022) with three differences from its released code: what is searched
is what is retrained (padding, groups and bias included), the epoch is chosen on validation data instead of
test data, and a killed run goes on bit for bit.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from dashdeploy.artifacts.run import ARCHITECTURE_NAME
from dashdeploy.backbones.run import Run
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.malloc_tuning import freed_memory_kept
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.devices import check_devices, devices_of, rank
from dashdeploy.search.distributed.processes import all_processes, helper, helps_another, wait_for_all
from dashdeploy.search.latency.table import kept_table, latency_table, read_table, wants_latency
from dashdeploy.search.outcome import write_report
from dashdeploy.search.run_phases import RunPhases, has_shortlist, tuning_of, worker_name
from dashdeploy.search.selection.cross_validation import check_folds
from dashdeploy.search.selection.shortlist import chosen_architecture
from dashdeploy.search.staging_directory import (
    check_same,
    finish,
    open_partial,
    partial_path,
    refuses_writing,
    run_config,
)
from dashdeploy.search.supernet.networks import check_retrained, supernet_of
from dashdeploy.search.supernet.supernet import agg_convs
from dashdeploy.search.training.augmentation import check_augmentation
from dashdeploy.search.training.loggers import check_logger
from dashdeploy.search.training.progress import note, silence
from dashdeploy.search.tuning.study import check_storage
from dashdeploy.search.tuning.tuning import help_tuning

FEWEST_TRAINING_SAMPLES = 2  # batch norm cannot normalize a lone sample


@freed_memory_kept()
def search(
    task: Task,
    settings: SearchSettings,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    max_seconds: float | None = None,
) -> Run:
    """Search the kernels that fit `task`, retrain the result, train the unsearched backbone beside it.

    The run is built in ``OUT.partial`` and renamed to `out` when it is finished.

    Args:
        task: the data, the loss and the metric.
        settings: every hyperparameter.
        out: where the run directory is to appear.
        resume: whether to go on with an unfinished run of the same task and settings; a finished one is
            returned as it is.
        progress: whether to show progress on stderr.
        max_seconds: about how long the run may take, the parts before an interruption included: every phase ends
            with the epoch in which its share runs out. None is as long as it needs.

    Returns:
        The finished run.

    Raises:
        InputError: `out` is taken or cannot be written, an unfinished run is in the way or was started with
            other settings, the task and the backbone do not fit, or the training diverged.
        MissingCapabilityError: the settings ask for a device, a target or a package that this machine lacks.
        KeyboardInterrupt: the user interrupted it; the unfinished run can be resumed.
    """
    if out.exists():
        if resume or helps_another(out):
            return Run.load(out)
        raise InputError(f"{out} already exists; choose another --out or remove it first")
    say = note if progress else silence
    if rank(devices_of(settings)):
        return _help(task, settings, out, max_seconds)
    supernet, kept = _check(task, settings)
    check_storage(settings)  # by this process alone, since it makes the tables
    latencies = None
    if wants_latency(settings):
        latencies = latency_table(task, settings, agg_convs(supernet), say)
    try:
        with open_partial(out, run_config(task, settings), resume=resume) as folder:
            latencies = latencies and kept_table(folder, latencies)
            with all_processes(devices_of(settings), out):
                wait_for_all()
                phases_of_run = RunPhases(
                    task, settings, folder, kept, progress=progress, max_seconds=max_seconds
                )
                phases_of_run.run(latencies)
                write_report(folder)
                finish(folder, out)
                wait_for_all()
    except OSError as error:
        if not refuses_writing(error, partial_path(out)):
            raise
        raise InputError(
            f"cannot write {partial_path(out)}: {error.strerror or error}; choose an --out that is writable "
            "and has room"
        ) from error
    return Run.load(out)


def _help(task: Task, settings: SearchSettings, out: Path, max_seconds: float | None) -> Run:
    """Take part in the run that another process builds at `out`, on another device."""
    _check(task, settings)
    with all_processes(devices_of(settings), out), helper():
        wait_for_all()
        folder = partial_path(out)
        phases_of_run = RunPhases(task, settings, folder, {}, progress=False, max_seconds=max_seconds)
        phases_of_run.run(read_table(folder) if wants_latency(settings) else None)
        wait_for_all()
    return Run.load(out)


def join(task: Task, settings: SearchSettings, out: Path, *, progress: bool = True) -> int:
    """Help the process that builds the run `out` with the trials of its tuning, until these are done.

    Args:
        task: as that process has it.
        settings: as that process has them.
        out: where its run is to appear.
        progress: whether to show progress on stderr.

    Returns:
        How many trials this process ran.

    Raises:
        InputError: there is no unfinished run at `out` whose search is over and that tunes, or it was started with
            something else.
    """
    folder = partial_path(out)
    if settings.tune == "none":
        raise InputError("--join: these settings tune nothing; start both processes with --tune grid or tpe")
    if out.exists():
        raise InputError(f"--join: {out} is finished; there is nothing to help with")
    searched = (folder / ARCHITECTURE_NAME).exists()
    if not searched or (has_shortlist(settings) and chosen_architecture(folder) is None):
        raise InputError(
            f"--join: {folder} has no architecture yet; join once the run is there and its search is over"
        )
    check_same(folder, run_config(task, settings))
    return help_tuning(tuning_of(task, settings, folder, worker=worker_name(), progress=progress))


def _check(task: Task, settings: SearchSettings) -> tuple[nn.Module, dict[str, str]]:
    """Refuse what cannot work before anything is written.

    Returns:
        The supernet, and the convolutions that are not searched, each with the reason.
    """
    count = len(task.train.targets)
    if count < FEWEST_TRAINING_SAMPLES:
        raise InputError(f"task {task.name}: {count} training samples are too few to train")
    check_augmentation(task, settings)
    check_folds(task, settings)
    check_devices(settings, count, len(task.validation.targets))
    check_logger(settings)
    supernet, kept = supernet_of(task, settings)
    check_retrained(task, settings, agg_convs(supernet))
    return supernet, kept
