"""The options of ``search`` that say what is learned, and the task that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dashdeploy.cli.options.groups import OptionGroup
from dashdeploy.cli.options.values import height_and_width
from dashdeploy.errors import InputError

if TYPE_CHECKING:
    from dashdeploy.data.task import Task


class TaskSource(OptionGroup, panel="Task"):
    """A built-in task, or a user's own data."""

    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="A built-in task, which dashdeploy tasks lists, or module:factory for your own."
        ),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Your own data: an .npz file with x_train, y_train, x_test, y_test, or X, y; a folder of such .npy "
            "files; an HDF5, CSV, Parquet or ARFF file; a pair NAME_TRAIN, NAME_TEST of .ts, .tsv, .txt or these; a "
            "folder of sounds or images by class, or of WFDB records.",
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="The folder with the files of a task of NAS-Bench-360."),
    ] = None

    def check(self) -> None:
        """Refuse no task, and two.

        Raises:
            InputError: not exactly one is given.
        """
        if (self.task is None) == (self.data is None):
            raise InputError(
                "give exactly one of --task NAME and --data PATH; dashdeploy tasks lists the names"
            )

    def load(self, how: DataHandling, *, seed: int) -> Task:
        """Load what was named; its notes, which the search tells as they are, spell parameters as options.

        Raises:
            InputError: it cannot be used.
            MissingCapabilityError: the package that holds its data is not installed.
        """
        from dataclasses import replace

        from dashdeploy.cli.parameters import spelled

        task = self._load(how, seed)
        return replace(task, notes=tuple(map(spelled, task.notes)))

    def _load(self, how: DataHandling, seed: int) -> Task:
        from dashdeploy.data.catalog import load_task
        from dashdeploy.data.from_arrays import DataOptions
        from dashdeploy.data.readers.data_files import load_data

        options = DataOptions(**how.values())
        if self.data is None:
            return load_task(str(self.task), seed=seed, options=options, data_dir=self.data_dir)
        if self.data_dir is not None:
            raise InputError("--data-dir is for --task of NAS-Bench-360; --data names your own files")
        return load_data(self.data, seed=seed, options=options)


class DataHandling(OptionGroup, panel="Task"):
    """What is made of the data; the fields are those of `dashdeploy.DataOptions`."""

    def values(self) -> dict[str, Any]:
        """As `dashdeploy.DataOptions` has them.

        Raises:
            InputError: the size of images is none.
        """
        size = None if self.image_size is None else height_and_width("--image-size", self.image_size)
        return {**super().values(), "image_size": size}

    predict: Annotated[
        Literal["classification", "multi-label", "regression"] | None,
        typer.Option(
            "--predict",
            help="What your own data gives for each sample: one class, any number of labels, or numbers.",
        ),
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            help="For your own data: cross_entropy or focal; binary_cross_entropy; mse, mae, huber or relative_l2.",
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="For your own data: accuracy, balanced_accuracy, f1, auroc, map or fnr; mae, mse, rmse, r2 or "
            "relative_l2.",
        ),
    ] = None
    normalize: Annotated[
        Literal["channels", "samples"] | None,
        typer.Option(
            "--normalize",
            help="Scale each channel to mean 0 and deviation 1 over the training data, or within each sample. The "
            "model that comes out does it by itself.",
        ),
    ] = None
    lengths: Annotated[
        Literal["pad", "resample"],
        typer.Option("--lengths", help="What becomes of series of several lengths."),
    ] = "pad"
    missing: Annotated[
        Literal["interpolate", "mean", "refuse"] | None,
        typer.Option(
            "--missing",
            help="What becomes of missing values: interpolated along the series, the channel's mean over the "
            "training data, or refused. By default those of .ts files, tables and WFDB records are interpolated and "
            "arrays with NaN refused.",
        ),
    ] = None
    timestamps: Annotated[
        Literal["refuse", "resample"],
        typer.Option(
            "--timestamps",
            help="What becomes of .ts files whose values have time stamps: refused, or interpolated on an even grid.",
        ),
    ] = "refuse"
    image_size: Annotated[
        str | None,
        typer.Option(
            "--image-size",
            metavar="HxW",
            help="Resize the images of a folder to this height and width in pixels.",
        ),
    ] = None
    layout: Annotated[
        Literal["channels-first", "channels-last"] | None,
        typer.Option(
            "--layout",
            help="Where arrays have their channels: behind the samples, as by default, or at the end.",
        ),
    ] = None
    target_column: Annotated[
        str | None,
        typer.Option(
            "--target-column",
            metavar="C",
            help="The column of a table that is predicted: its name, or its index from 0, from -1 at the end. By "
            "default the last, or the first in a pair of the UCR archive's .tsv or .txt files.",
        ),
    ] = None
