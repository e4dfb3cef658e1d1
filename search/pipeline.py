"""The search from beginning to end: supernet, architecture, tuning, retraining, baseline, one look at the test data.

DASH (Shen, Khodak, Talwalkar, NeurIPS 2022) with three differences from its released code: what is searched
is what is retrained (padding, groups and bias included), the epoch is chosen on validation data instead of
test data, and a killed run goes on bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from dashdeploy.backbones import build_backbone, build_searched
from dashdeploy.errors import InputError
from dashdeploy.run_directory import (
    ARCHITECTURE_NAME,
    BACKBONE_WEIGHTS_NAME,
    SAMPLES_NAME,
    WEIGHTS_NAME,
    Architecture,
    Run,
    load_architecture,
    load_weights,
)
from dashdeploy.search.architecture_gradient import unmix
from dashdeploy.search.augmentation import check_augmentation
from dashdeploy.search.cross_validation import check_folds
from dashdeploy.search.devices import check_devices, devices_of, rank
from dashdeploy.search.latency import LatencyPressure, LatencyTable
from dashdeploy.search.latency_table import kept_table, latency_path, latency_table, read_table, wants_latency
from dashdeploy.search.loggers import check_logger, write_csv
from dashdeploy.search.networks import backbone_arguments, backbone_name, supernet_of, takes_dropout
from dashdeploy.search.outcome import keep_samples, save_weights, write_metrics, write_report
from dashdeploy.search.partial_run import (
    check_same,
    finish,
    finish_phase,
    open_partial,
    partial_path,
    phase_result,
    run_config,
    write_json,
)
from dashdeploy.search.phase_training import PhaseJob, train_phase
from dashdeploy.search.processes import all_processes, helper, helps_another, wait_for_all
from dashdeploy.search.progress import announce, note
from dashdeploy.search.settings import SearchSettings
from dashdeploy.search.shortlist import choose_from_shortlist, chosen_architecture
from dashdeploy.search.supernet import agg_convs, discretize
from dashdeploy.search.time_limit import TimeLimit
from dashdeploy.search.training import PhaseModule, PhaseName, phases
from dashdeploy.search.tuning import Tuning, check_storage, help_tuning, tune
from dashdeploy.search.tuning_space import Hyperparameters
from dashdeploy.search.tuning_trial import trial_of
from dashdeploy.tasks import Task

FEWEST_TRAINING_SAMPLES = 2  # batch norm cannot normalize a lone sample


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
    say = note if progress else _silence
    if rank(devices_of(settings)):
        return _help(task, settings, out, max_seconds)
    kept, latencies = _check(task, settings, say)
    try:
        with open_partial(out, run_config(task, settings), resume=resume) as folder:
            latencies = latencies and kept_table(folder, latencies)
            with all_processes(devices_of(settings), out):
                wait_for_all()
                phases_of_run = _Phases(
                    task, settings, folder, kept, progress=progress, max_seconds=max_seconds
                )
                phases_of_run.run(latencies)
                write_report(folder)
                finish(folder, out)
                wait_for_all()
    except OSError as error:
        raise InputError(
            f"cannot write {partial_path(out)}: {error.strerror or error}; choose an --out that is writable "
            "and has room"
        ) from error
    return Run.load(out)


def _help(task: Task, settings: SearchSettings, out: Path, max_seconds: float | None) -> Run:
    """Take part in the run that another process builds at `out`, on another device."""
    with all_processes(devices_of(settings), out), helper():
        wait_for_all()
        folder = partial_path(out)
        phases_of_run = _Phases(task, settings, folder, {}, progress=False, max_seconds=max_seconds)
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
    searched = (folder / ARCHITECTURE_NAME).exists()
    if not searched or (_has_shortlist(settings) and chosen_architecture(folder) is None):
        raise InputError(
            f"--join: {folder} has no architecture yet; join once the run is there and its search is over"
        )
    check_same(folder, run_config(task, settings))
    return help_tuning(_tuning(task, settings, folder, worker=_worker(), progress=progress))


def _worker() -> str:
    return f"{os.uname().nodename} {os.getpid()}"


def _check(
    task: Task, settings: SearchSettings, say: Callable[[str], None]
) -> tuple[dict[str, str], LatencyTable | None]:
    """Refuse what cannot work before anything is written.

    Returns:
        The convolutions that are not searched, each with the reason; and what candidates cost, if that counts.
    """
    count = len(task.train.targets)
    if count < FEWEST_TRAINING_SAMPLES:
        raise InputError(f"task {task.name}: {count} training samples are too few to train")
    check_augmentation(task, settings)
    check_folds(task, settings)
    check_devices(settings, count, len(task.validation.targets))
    check_logger(settings)
    check_storage(settings)
    model, kept = supernet_of(task, settings)
    build_backbone(backbone_name(task, settings), backbone_arguments(task, settings, retrain=True))
    return kept, latency_table(task, settings, agg_convs(model), say) if wants_latency(settings) else None


def _tuning(
    task: Task, settings: SearchSettings, folder: Path, *, progress: bool, worker: str = "main"
) -> Tuning:
    """What a process needs to run trials of the network that was found."""
    architecture = chosen_architecture(folder) or load_architecture(folder)

    def build(chosen: Hyperparameters) -> nn.Module:
        return build_searched(_with_dropout(architecture, chosen))

    return Tuning(
        settings,
        folder,
        trial_of(task, settings, build, folder),
        higher_is_better=task.metric.higher_is_better,
        dropout=takes_dropout(architecture.backbone),
        worker=worker,
        say=note if progress else _silence,
    )


def _with_dropout(architecture: Architecture, chosen: Hyperparameters) -> Architecture:
    if chosen.dropout is None:
        return architecture
    arguments = architecture.arguments | {"dropout": chosen.dropout}
    return architecture.model_copy(update={"arguments": arguments})


def _has_shortlist(settings: SearchSettings) -> bool:
    return settings.shortlist > 1 and not wants_latency(settings)


def _silence(_: str) -> None:
    pass


class _Phases:
    """The phases of one run, each skipped if it is finished."""

    def __init__(
        self,
        task: Task,
        settings: SearchSettings,
        folder: Path,
        kept: dict[str, str],
        *,
        progress: bool,
        max_seconds: float | None,
    ) -> None:
        self.task, self.settings, self.folder, self.kept = task, settings, folder, kept
        self.progress, self.writes = progress, rank(devices_of(settings)) == 0
        self.listed = _has_shortlist(settings)
        optional = [*(["shortlist"] if self.listed else []), *(["tune"] if settings.tune != "none" else [])]
        names = ["search", *optional, "retrain", "backbone"]
        self.time = TimeLimit(max_seconds, folder, names)

    def run(self, latencies: LatencyTable | None) -> None:
        """All of them; `latencies` is what candidates cost, if that counts."""
        folder, task = self.folder, self.task
        self._search(latencies)
        architecture, settings = self._architecture(), self.settings
        if settings.tune != "none":
            chosen = self._tune()
            settings = chosen.applied(settings)
            architecture = _with_dropout(architecture, chosen)
            if self.writes:
                write_json(folder / ARCHITECTURE_NAME, architecture.model_dump())

        def searched() -> nn.Module:
            return build_searched(architecture)

        def backbone() -> nn.Module:
            return build_backbone(architecture.backbone, architecture.arguments)

        self._train("retrain", searched, WEIGHTS_NAME, settings)
        same_passes = settings.backbone_epochs in (None, settings.retrain_epochs)
        if same_passes and all(layer.original for layer in architecture.layers):
            self._is_the_backbone()
        else:
            self._train("backbone", backbone, BACKBONE_WEIGHTS_NAME, settings)
        if not self.writes:
            return
        keep_samples(folder / SAMPLES_NAME, task.unscaled(task.validation))
        if settings.log == "csv":
            write_csv(folder)
        write_metrics(
            folder,
            task,
            load_weights(searched(), folder / WEIGHTS_NAME),
            load_weights(backbone(), folder / BACKBONE_WEIGHTS_NAME),
            refit=settings.refit,
        )

    def _architecture(self) -> Architecture:
        """What is retrained: what the search found, or the best of a short list, trained on one device."""
        found = load_architecture(self.folder)
        if not self.listed:
            return found
        if self.writes:
            chosen = choose_from_shortlist(
                self.task,
                self.settings,
                found,
                self.folder,
                seconds=self.time.share("shortlist"),
                say=note if self.progress else _silence,
            )
            write_json(self.folder / ARCHITECTURE_NAME, chosen.model_dump())
        wait_for_all()
        return chosen_architecture(self.folder) or found

    def _tune(self) -> Hyperparameters:
        """The processes of a run share its trials, each on its own device."""
        if not self.writes:
            tuning = _tuning(self.task, self.settings, self.folder, worker=_worker(), progress=False)
            help_tuning(tuning)
            wait_for_all()
            return tune(tuning)  # what was found
        tuning = _tuning(self.task, self.settings, self.folder, progress=self.progress)
        chosen = tune(tuning, seconds=self.time.share("tune"))
        wait_for_all()
        return chosen

    def _search(self, latencies: LatencyTable | None) -> None:
        task, settings = self.task, self.settings

        def supernet() -> nn.Module:
            model = supernet_of(task, settings)[0]
            if self.progress:
                announce(len(agg_convs(model)), self.kept)
            return model

        def prepare(module: PhaseModule) -> None:
            if latencies is not None:
                module.latency = LatencyPressure(
                    latencies, weight=settings.latency_weight, budget=settings.latency_budget
                )

        train_phase(
            PhaseJob(
                task,
                settings,
                phases(settings)["search"],
                supernet,
                self._keep_architecture,
                self.folder,
                progress=self.progress,
                seconds=self.time.share("search"),
                prepare=prepare,
            )
        )

    def _keep_architecture(self, module: PhaseModule) -> None:
        task, settings = self.task, self.settings
        layers = list(agg_convs(module.network).values())
        unmix(layers, settings)
        choices = None
        if module.latency is not None:
            choices = module.latency.choose(layers)
            expected = float(module.latency.expected(layers))
            grid = len(settings.kernel_sizes), len(settings.dilations)
            write_json(latency_path(self.folder), module.latency.record(expected, choices, grid))
        architecture = Architecture(
            backbone=backbone_name(task, settings),
            arguments=backbone_arguments(task, settings, retrain=True),
            kernel_sizes=list(settings.kernel_sizes),
            dilations=list(settings.dilations),
            layers=discretize(module.network, choices),
            kept=self.kept,
        )
        write_json(self.folder / ARCHITECTURE_NAME, architecture.model_dump())

    def _is_the_backbone(self) -> None:
        """The original kernels won: the backbone would start with the same weights and end with the same."""
        if phase_result(self.folder, "backbone") is None:
            save_weights(self.folder / BACKBONE_WEIGHTS_NAME, load_file(self.folder / WEIGHTS_NAME))
            finish_phase(self.folder, "backbone", {"same_as": "retrain", "seconds": 0.0})

    def _train(
        self, name: PhaseName, build: Callable[[], nn.Module], file: str, settings: SearchSettings
    ) -> None:
        train_phase(
            PhaseJob(
                self.task,
                settings,
                phases(settings)[name],
                build,
                lambda module: save_weights(self.folder / file, module.best_state),
                self.folder,
                progress=self.progress,
                seconds=self.time.share(name),
            )
        )
