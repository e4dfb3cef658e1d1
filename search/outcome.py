"""What a run leaves of its trained networks: weights, samples, metrics, and the report of it all."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dashdeploy.provenance import Provenance
from dashdeploy.report.run_report import REPORT_NAME, run_page
from dashdeploy.run_directory import METRICS_NAME, Run
from dashdeploy.search.evaluate import evaluate
from dashdeploy.search.partial_run import phase_result, write_json
from dashdeploy.tasks import Split, Task

MOST_SAMPLES_KEPT = 256


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's weights, all of them or nothing."""
    partial = path.with_suffix(".part")
    save_file(state, partial)
    partial.chmod(0o644)  # safetensors makes it private
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def keep_samples(path: Path, validation: Split) -> None:
    """Store real inputs that export and bench can run the model on, without the data set."""
    inputs, targets = (tensor[:MOST_SAMPLES_KEPT].numpy() for tensor in validation)
    with path.open("wb") as file:
        np.savez_compressed(file, inputs=inputs, targets=targets)


def write_metrics(folder: Path, task: Task, searched: nn.Module, original: nn.Module) -> None:
    """Measure both networks; the only place that touches the test data."""
    results = {name: phase_result(folder, name) for name in ("search", "tune", "retrain", "backbone")}
    seconds = {name: round(result["seconds"], 3) if result else 0.0 for name, result in results.items()}
    device = torch.device("cpu")
    scores = {
        label: {
            "validation": evaluate(model.to(device), task.validation, task.metric),
            "test": evaluate(model.to(device), task.test, task.metric),
        }
        for label, model in (("searched", searched), ("backbone", original))
    }
    metrics = {"task": task.name, "metric": task.metric.name, **scores, "seconds": seconds}
    write_json(folder / METRICS_NAME, metrics)


def write_report(folder: Path) -> None:
    """Show the run to a person. Its results are worth more than their picture, so no fault in it ends the run."""
    try:
        run_page(Run.load(folder), made_by=Provenance.now()).write(folder / REPORT_NAME)
    except Exception as error:
        logging.getLogger(__name__).warning(
            "%s could not be written: %s; try: dashdeploy inspect RUN --report FILE.html", REPORT_NAME, error
        )
