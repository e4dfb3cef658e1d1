"""The one writer of a run: stores what each phase gives once it is finished, and gives it again when it is resumed.

The first process of a run writes; the others are told the values. A phase's files come first and its mark,
``checkpoints/PHASE.json``, last, so a phase is finished with all of its files or not at all.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dashdeploy.artifacts.atomic import write_bytes_atomically
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.artifacts.run import (
    ARCHITECTURE_NAME,
    BACKBONE_WEIGHTS_NAME,
    LATENCY_NAME,
    METRICS_NAME,
    SAMPLES_NAME,
    SHORTLIST_NAME,
    TUNING_NAME,
    Architecture,
    RunDirectory,
    load_architecture,
    member_weights_name,
)
from dashdeploy.data.task import Split, Task
from dashdeploy.errors import InputError, first_line
from dashdeploy.report.run_report import REPORT_NAME, run_page
from dashdeploy.search.config.phases import PhaseName, member_phase
from dashdeploy.search.distributed.processes import from_first
from dashdeploy.search.latency.loss_term import LatencyTable
from dashdeploy.search.latency.table import table_as_json, table_from_json
from dashdeploy.search.selection.kernel_search import Found
from dashdeploy.search.selection.shortlist import Shortlisted
from dashdeploy.search.staging.directory import CHECKPOINTS_NAME, finish_phase, phase_result, write_json
from dashdeploy.search.supernet.computation_rates import ComputationRates, cpu_rates
from dashdeploy.search.training.checkpoint import checkpoint_path, rollbacks_path
from dashdeploy.search.training.train_phase import TrainedNetwork
from dashdeploy.search.tuning.space import Hyperparameters
from dashdeploy.search.tuning.tune import Tuned

MOST_SAMPLES_KEPT, MOST_NUMBERS_KEPT = 256, 2**24
ARCHITECTURE = "architecture"
RATES_NAME = "aggconv-rates.json"

Value = TypeVar("Value")
Mark = dict[str, Any]
"""The content of ``checkpoints/PHASE.json``."""


@dataclass(frozen=True)
class Storage(Generic[Value]):
    """How the value of one phase is stored.

    Attributes:
        phase: its name.
        write: writes the phase's own files to the run's folder and gives its mark.
        read: gives the value that has this mark.
    """

    phase: PhaseName
    write: Callable[[Path, Value], Mark]
    read: Callable[[Path, Mark], Value]


class RunWriter:
    """Writes the run in a folder.

    Args:
        folder: the unfinished run.
        writes: whether this process is the run's first one; the others write nothing.
    """

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.folder, self.writes = folder, writes

    def stored(self, storage: Storage[Value]) -> Value | None:
        """The value of a phase that is finished; None if it is not.

        Raises:
            InputError: its files are damaged.
        """
        try:
            mark = phase_result(self.folder, storage.phase)
            return None if mark is None else storage.read(self.folder, mark)
        except (OSError, ValueError, KeyError, TypeError) as error:
            mark_path = self.folder / CHECKPOINTS_NAME / f"{storage.phase}.json"
            raise InputError(
                f"what the phase {storage.phase} left in {self.folder} cannot be read ({first_line(error)}); delete "
                f"{mark_path} to continue from its last epoch or trial, and resume"
            ) from error

    def value(self, storage: Storage[Value], run: Callable[[], Value | None]) -> Value:
        """The value of a phase in every process of the run: the stored one, or what `run` gives, stored.

        Args:
            storage: how it is stored.
            run: runs the phase. What it gives counts in the first process alone.
        """
        known = from_first(self.stored(storage) if self.writes else None)
        if known is not None:
            return known
        value = run()
        if self.writes:
            assert value is not None
            self.store(storage, value)
        given = from_first(value)
        assert given is not None
        return given

    def store(self, storage: Storage[Value], value: Value) -> None:
        """Store the value of a phase that is finished now."""
        finish_phase(self.folder, storage.phase, storage.write(self.folder, value))
        rollbacks_path(self.folder, storage.phase).unlink(missing_ok=True)

    def seconds_spent(self, phases: Iterable[PhaseName]) -> float:
        """What those of `phases` took that are finished, as the first process knows it."""
        marks = [phase_result(self.folder, phase) for phase in phases] if self.writes else []
        return from_first(sum((mark["seconds"] for mark in marks if mark), 0.0))

    def latencies(self, measured: LatencyTable) -> LatencyTable:
        """The costs that the run was started with: `measured`, if it has none.

        A resumed run goes on with the costs that it has, even if they would be measured a little differently now.
        """
        path = self.folder / CHECKPOINTS_NAME / LATENCY_NAME
        if path.exists():
            return table_from_json(json.loads(path.read_bytes()))
        write_json(path, table_as_json(measured))
        return measured

    def known_rates(self) -> ComputationRates | None:
        """The rates that the run was started with; None if it is new.

        Raises:
            InputError: the file is damaged.
        """
        path = self.folder / CHECKPOINTS_NAME / RATES_NAME
        try:
            return ComputationRates.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            # A run that was started before they were kept has gone by the table of the CPU.
            return cpu_rates() if checkpoint_path(self.folder, "search").exists() else None
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read ({first_line(error)}); delete it and resume: the search then "
                "measures new rates"
            ) from error

    def rates(self, rates: ComputationRates) -> None:
        """Keep the rates that the run goes by."""
        write_json(self.folder / CHECKPOINTS_NAME / RATES_NAME, rates.as_json())

    def architecture(self, architecture: Architecture) -> None:
        """Write what is retrained, as soon as all choices are made."""
        write_json(self.folder / ARCHITECTURE_NAME, architecture.model_dump())

    def samples(self, validation: Split) -> None:
        """Store real inputs that export and bench can run the model on, without the data set."""
        numbers = math.prod(validation.inputs.shape[1:])
        count = max(1, min(MOST_SAMPLES_KEPT, MOST_NUMBERS_KEPT // numbers))
        inputs, targets = (tensor[:count].numpy() for tensor in validation)
        with (self.folder / SAMPLES_NAME).open("wb") as file:
            np.savez_compressed(file, inputs=inputs, targets=targets)

    def metrics(
        self,
        task: Task,
        scores: Mapping[str, Mapping[str, float | None]],
        seconds: Mapping[str, float],
        ensemble: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the figures of the run, the last of its results.

        Args:
            task: its name and metric.
            scores: validation and test figures by network.
            seconds: by phase.
            ensemble: the figures of all members together, as JSON; None if there is one network alone.
        """
        rounded = {phase: round(spent, 3) for phase, spent in seconds.items()}
        figures = scores if ensemble is None else {**scores, "ensemble": ensemble}
        content = {"task": task.name, "metric": task.metric.name, **figures, "seconds": rounded}
        write_json(self.folder / METRICS_NAME, content)

    def report(self) -> None:
        """Show the run to a person. Its results are worth more than their picture, so no fault in it ends the run."""
        try:
            run_page(RunDirectory.load(self.folder), made_by=Provenance.now()).write(
                self.folder / REPORT_NAME
            )
        except Exception as error:
            logging.getLogger(__name__).warning(
                "%s could not be written: %s; dashdeploy inspect can write a report of the run",
                REPORT_NAME,
                error,
            )


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a network's weights, all of them or nothing."""
    # Not by safetensors itself, whose errors of a full disk are none of Python's.
    write_bytes_atomically(path, save(dict(weights)))


def _write_found(folder: Path, found: Found) -> Mark:
    if found.latency is not None:
        write_json(folder / LATENCY_NAME, found.latency)
    return found.record | {ARCHITECTURE: found.architecture.model_dump()}


def _read_found(folder: Path, mark: Mark) -> Found:
    record = {name: content for name, content in mark.items() if name != ARCHITECTURE}
    if ARCHITECTURE in mark:
        architecture = Architecture.model_validate(mark[ARCHITECTURE])
    else:  # a run that was started before the mark had it
        architecture = load_architecture(folder)
    path = folder / LATENCY_NAME
    return Found(architecture, json.loads(path.read_bytes()) if path.exists() else None, record)


def _write_shortlisted(folder: Path, listed: Shortlisted) -> Mark:
    write_json(folder / SHORTLIST_NAME, listed.comparison)
    return {
        "chosen": listed.comparison["chosen"],
        "seconds": listed.seconds,
        ARCHITECTURE: listed.architecture.model_dump(),
    }


def _read_shortlisted(folder: Path, mark: Mark) -> Shortlisted:
    comparison = json.loads((folder / SHORTLIST_NAME).read_bytes())
    return Shortlisted(Architecture.model_validate(mark[ARCHITECTURE]), comparison, mark["seconds"])


def _write_tuned(folder: Path, tuned: Tuned) -> Mark:
    write_json(folder / TUNING_NAME, tuned.trials)
    return {"chosen": tuned.chosen.as_dict(), "seconds": tuned.seconds}


def _read_tuned(folder: Path, mark: Mark) -> Tuned:
    trials = json.loads((folder / TUNING_NAME).read_bytes())
    return Tuned(Hyperparameters(**mark["chosen"]), trials, mark["seconds"])


def _storage_of_weights(phase: PhaseName, name: str) -> Storage[TrainedNetwork]:
    def write(folder: Path, network: TrainedNetwork) -> Mark:
        save_weights(folder / name, network.weights)
        return network.record

    def read(folder: Path, mark: Mark) -> TrainedNetwork:
        try:
            return TrainedNetwork(load_file(folder / name), mark)
        except SafetensorError as error:
            raise ValueError(f"{name}: {first_line(error)}") from error

    return Storage(phase, write, read)


FOUND = Storage("search", _write_found, _read_found)
SHORTLISTED = Storage("shortlist", _write_shortlisted, _read_shortlisted)
TUNED = Storage("tune", _write_tuned, _read_tuned)
BACKBONE = _storage_of_weights("backbone", BACKBONE_WEIGHTS_NAME)


def retrained(member: int) -> Storage[TrainedNetwork]:
    """How a member of the ensemble is stored, from 1; the first one is the run's network."""
    return _storage_of_weights(member_phase(member), member_weights_name(member))
