"""What a run leaves of its trained networks: weights, samples, metrics, and the report of it all."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from dashdeploy.artifacts.atomic import write_bytes_atomically
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.artifacts.run import METRICS_NAME, SHORTLIST_NAME, RunDirectory
from dashdeploy.data.task import Split, Task
from dashdeploy.report.run_report import REPORT_NAME, run_page
from dashdeploy.search.staging_directory import phase_result, write_json
from dashdeploy.search.training.evaluate import evaluate

MOST_SAMPLES_KEPT, MOST_NUMBERS_KEPT = 256, 2**24
ORIGINAL = -1  # the backbone's own kernels are last on a short list


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's weights, all of them or nothing."""
    # Not by safetensors itself, whose errors of a full disk are none of Python's.
    write_bytes_atomically(path, save(state))


def keep_samples(path: Path, validation: Split) -> None:
    """Store real inputs that export and bench can run the model on, without the data set."""
    numbers = math.prod(validation.inputs.shape[1:])
    count = max(1, min(MOST_SAMPLES_KEPT, MOST_NUMBERS_KEPT // numbers))
    inputs, targets = (tensor[:count].numpy() for tensor in validation)
    with path.open("wb") as file:
        np.savez_compressed(file, inputs=inputs, targets=targets)


def write_metrics(
    folder: Path, task: Task, searched: nn.Module, original: nn.Module, *, refit: bool = False
) -> None:
    """Measure both networks; the only place that touches the test data.

    Args:
        folder: the unfinished run.
        task: the data and the metric.
        searched: the network that was found, trained.
        original: the backbone, trained.
        refit: whether both have learned from the validation data. Then their validation figures are those of the
            short list, from before that, or None.
    """
    names = ["search", "shortlist", "tune", "retrain", "backbone"]
    results = {name: phase_result(folder, name) for name in names}
    seconds = {
        name: round(result["seconds"], 3) if result else 0.0
        for name, result in results.items()
        if result or name != "shortlist"
    }
    before = shortlisted(folder) if refit else {}
    device = torch.device("cpu")
    scores = {
        label: {
            "validation": before.get(label)
            if refit
            else evaluate(model.to(device), task.validation, task.metric),
            "test": evaluate(model.to(device), task.test, task.metric),
        }
        for label, model in (("searched", searched), ("backbone", original))
    }
    metrics = {"task": task.name, "metric": task.metric.name, **scores, "seconds": seconds}
    write_json(folder / METRICS_NAME, metrics)


def shortlisted(folder: Path) -> dict[str, float | None]:
    """The validation figures of the chosen candidate and of the backbone's own kernels, if there was a short list."""
    path = folder / SHORTLIST_NAME
    if not path.exists():
        return {}
    content = json.loads(path.read_bytes())
    rows = content["candidates"]
    return {"searched": rows[content["chosen"]]["validation"], "backbone": rows[ORIGINAL]["validation"]}


def write_report(folder: Path) -> None:
    """Show the run to a person. Its results are worth more than their picture, so no fault in it ends the run."""
    try:
        run_page(RunDirectory.load(folder), made_by=Provenance.now()).write(folder / REPORT_NAME)
    except Exception as error:
        logging.getLogger(__name__).warning(
            "%s could not be written: %s; try: dashdeploy inspect RUN --report FILE.html", REPORT_NAME, error
        )
