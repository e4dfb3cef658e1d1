"""The options that say what is learned, and the task that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dashdeploy.errors import InputError

if TYPE_CHECKING:
    from dashdeploy.data.task import Task

TaskName = Annotated[
    str | None,
    typer.Option(
        "--task", help="A built-in task, which dashdeploy tasks lists, or module:factory for your own."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Your own data: an .npz file with x_train, y_train, x_test, y_test; a folder of such .npy files; "
        "a pair NAME_TRAIN.ts, NAME_TEST.ts.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The folder with the files of a task of NAS-Bench-360."),
]
Predict = Annotated[
    Literal["classification", "multi-label", "regression"] | None,
    typer.Option(
        "--predict",
        help="What your own data gives for each sample: one class, any number of labels, or numbers.",
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss",
        help="For your own data: cross_entropy or focal; binary_cross_entropy; mse, mae, huber or relative_l2.",
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        help="For your own data: accuracy, balanced_accuracy, f1, auroc, map or fnr; mae, mse, rmse, r2 or "
        "relative_l2.",
    ),
]
Normalize = Annotated[
    Literal["channels", "samples"] | None,
    typer.Option(
        "--normalize",
        help="Scale each channel to mean 0 and deviation 1 over the training data, or within each sample. The "
        "model that comes out does it by itself.",
    ),
]
Lengths = Annotated[
    Literal["pad", "resample"],
    typer.Option("--lengths", help="What becomes of series of several lengths."),
]


def check_one(task: str | None, data: Path | None) -> None:
    """Refuse no task, and two.

    Raises:
        InputError: not exactly one is given.
    """
    if (task is None) == (data is None):
        raise InputError("give exactly one of --task NAME and --data PATH; dashdeploy tasks lists the names")


def load(
    task: str | None,
    data: Path | None,
    data_dir: Path | None,
    seed: int,
    predict: Literal["classification", "multi-label", "regression"] | None,
    loss: str | None,
    metric: str | None,
    normalize: Literal["channels", "samples"] | None,
    lengths: Literal["pad", "resample"],
) -> Task:
    """Load what the options name.

    Raises:
        InputError: it cannot be used.
        MissingCapabilityError: the package that holds its data is not installed.
    """
    from dashdeploy.data.catalog import load_task
    from dashdeploy.data.from_arrays import DataOptions
    from dashdeploy.data.readers.data_files import load_data

    options = DataOptions(predict, loss, metric, normalize, lengths)
    if data is None:
        return load_task(str(task), seed=seed, options=options, data_dir=data_dir)
    if data_dir is not None:
        raise InputError("--data-dir is for --task of NAS-Bench-360; --data names your own files")
    return load_data(data, seed=seed, options=options)
