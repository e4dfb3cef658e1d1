"""The phases of one run: search, short list, tuning, retraining, the backbone, one look at the test data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from dashdeploy.artifacts.run import (
    ARCHITECTURE_NAME,
    BACKBONE_WEIGHTS_NAME,
    SAMPLES_NAME,
    WEIGHTS_NAME,
    Architecture,
    load_architecture,
    load_weights,
)
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.data.task import Task
from dashdeploy.search.config.phases import PhaseName, phases
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.devices import devices_of, rank
from dashdeploy.search.distributed.processes import from_all
from dashdeploy.search.latency.pressure import LatencyPressure, LatencyTable
from dashdeploy.search.latency.table import latency_path, wants_latency
from dashdeploy.search.outcome import keep_samples, save_weights, write_metrics
from dashdeploy.search.selection.shortlist import choose_from_shortlist, chosen_architecture
from dashdeploy.search.staging_directory import finish_phase, phase_result, write_json
from dashdeploy.search.supernet.architecture_gradient import unmix
from dashdeploy.search.supernet.networks import backbone_arguments, backbone_name, supernet_of, takes_dropout
from dashdeploy.search.supernet.supernet import agg_convs, discretize
from dashdeploy.search.training.loggers import write_csv
from dashdeploy.search.training.phase_module import PhaseModule
from dashdeploy.search.training.phase_training import PhaseJob, train_phase
from dashdeploy.search.training.progress import announce, note, silence
from dashdeploy.search.training.time_limit import TimeLimit
from dashdeploy.search.tuning.space import Hyperparameters
from dashdeploy.search.tuning.trial import trial_of
from dashdeploy.search.tuning.tuning import Tuning, help_tuning, tune


def tuning_of(
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
        say=note if progress else silence,
    )


def _with_dropout(architecture: Architecture, chosen: Hyperparameters) -> Architecture:
    if chosen.dropout is None:
        return architecture
    arguments = architecture.arguments | {"dropout": chosen.dropout}
    return architecture.model_copy(update={"arguments": arguments})


def has_shortlist(settings: SearchSettings) -> bool:
    """Whether the run has that phase; what is found for a latency has to stay within it."""
    return settings.shortlist > 1 and not wants_latency(settings)


def worker_name() -> str:
    """This process, as the study names it."""
    return f"{os.uname().nodename} {os.getpid()}"


class RunPhases:
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
        self.listed = has_shortlist(settings)
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
        """What is retrained: what the search found, or the best of a short list."""
        found = load_architecture(self.folder)
        if not self.listed:
            return found
        chosen = choose_from_shortlist(
            self.task,
            self.settings,
            found,
            self.folder,
            seconds=self.time.share("shortlist"),
            say=note if self.progress else silence,
        )
        if self.writes:
            write_json(self.folder / ARCHITECTURE_NAME, chosen.model_dump())
        return chosen

    def _tune(self) -> Hyperparameters:
        """The processes of a run share its trials, each on its own device."""
        found: Hyperparameters | None = None
        if self.writes:
            tuning = tuning_of(self.task, self.settings, self.folder, progress=self.progress)
            found = tune(tuning, seconds=self.time.share("tune"))
        else:
            tuning = tuning_of(self.task, self.settings, self.folder, worker=worker_name(), progress=False)
            help_tuning(tuning)
        chosen = from_all(found)[0]
        assert chosen is not None  # the first process has chosen
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
        if self.writes and phase_result(self.folder, "backbone") is None:
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
