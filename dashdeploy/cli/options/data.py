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
            help="Your own data: an .npz file with x_train, y_train, x_test and y_test, or with X and y; a "
            "folder of .npy "
            "files with these names; an HDF5, CSV, Parquet or ARFF file; a pair NAME_TRAIN and NAME_TEST of "
            ".ts, .tsv "
            "or .txt files; a folder of sounds or images by class; or a folder of WFDB records.",
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="The folder that holds the files of a NAS-Bench-360 task."),
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
            help="What to predict for each sample of your own data: one class, any number of labels, or numbers.",
        ),
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            help="The loss for your own data. For classes: cross_entropy or focal; for labels: "
            "binary_cross_entropy; for "
            "numbers: mse, mae, huber or relative_l2.",
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="The metric for your own data. For classes and labels: accuracy, balanced_accuracy, f1, "
            "auroc, map or "
            "fnr; for numbers: mae, mse, rmse, r2 or relative_l2.",
        ),
    ] = None
    normalize: Annotated[
        Literal["channels", "samples", "sizes", "none"] | None,
        typer.Option(
            "--normalize",
            help="Scale each channel to mean 0 and deviation 1, over the training data (channels) or within each "
            "sample, without its level and size (samples) or with these as further channels (sizes). The exported "
            "model scales its inputs itself. By default, sizes or samples where series differ in size by orders of "
            "magnitude; otherwise inputs that are far from mean 0 and deviation 1 are scaled by channels.",
        ),
    ] = None
    lengths: Annotated[
        Literal["pad", "resample"] | None,
        typer.Option(
            "--lengths",
            help="How to handle series of different lengths: fill the end of shorter ones with the mean (pad), or "
            "interpolate to the longest training series (resample). By default, pad; but where most of the data "
            "would be padding, series are cut that are longer than 98 % of the training series.",
        ),
    ] = None
    missing: Annotated[
        Literal["interpolate", "mean", "refuse"] | None,
        typer.Option(
            "--missing",
            help="How to handle missing values: interpolate along the series, use the mean of the channel over the "
            "training data, or refuse. The default is interpolate for .ts files, tables and WFDB records, and refuse "
            "for arrays.",
        ),
    ] = None
    timestamps: Annotated[
        Literal["refuse", "resample"],
        typer.Option(
            "--timestamps",
            help="How to handle .ts files whose values have time stamps: refuse, or interpolate on an even grid.",
        ),
    ] = "refuse"
    image_size: Annotated[
        str | None,
        typer.Option(
            "--image-size",
            metavar="HxW",
            help="Resize the images of a folder to this height and width, in pixels.",
        ),
    ] = None
    layout: Annotated[
        Literal["channels-first", "channels-last"] | None,
        typer.Option(
            "--layout",
            help="The axis of the channels in arrays: the second (channels-first, the default) or the last.",
        ),
    ] = None
    target_column: Annotated[
        str | None,
        typer.Option(
            "--target-column",
            metavar="C",
            help="The column of a table to predict: a name or an index (0 is the first, -1 the last). The "
            "default is the "
            "last column, or the first in .tsv and .txt files of the UCR archive.",
        ),
    ] = None
