"""Data of the user's own: a file or folder, read by what it is, or arrays of a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashdeploy.data.checks import refuse
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.readers.hdf5 import SUFFIXES, load_hdf5
from dashdeploy.data.readers.npy_folder import load_npy_folder
from dashdeploy.data.readers.npz import load_npz
from dashdeploy.data.readers.recordings.class_folders import load_class_folders, media_in
from dashdeploy.data.readers.recordings.wfdb_records import has_records, load_wfdb
from dashdeploy.data.readers.tables.load import is_table, load_frame, load_table
from dashdeploy.data.readers.ts_files import load_ts
from dashdeploy.data.task import Task


def load_data(data: Any, *, seed: int = 0, options: DataOptions | None = None) -> Task:  # noqa: ANN401 - see Args
    """Make a task of a file or folder with data, of arrays by name, or of a data frame.

    Args:
        data: the path of an ``.npz`` file, a folder of ``.npy`` files, a pair of ``.ts`` files, an HDF5 file, a
            folder of sounds or images by class, a folder of WFDB records, or a table (CSV, Parquet, ARFF, the UCR
            archive's text files); or arrays, tensors or data frames by name, as an ``.npz``
            file has them; or a data frame with one sample in each row and a target column.
        seed: chooses what is held out of the training data for validation, and for the test where the data have no
            part for it.
        options: what is predicted, the loss, the metric, the scaling.

    Returns:
        The task: its splits, inputs [n, channels, *spatial] in float32, and what the network is to give.

    Raises:
        InputError: the data have another form or cannot be used; the message names the place and the fix.
        MissingCapabilityError: the package that reads it is not installed.

    Example:
        A table whose column ``kind`` is to be predicted::

            options = dashdeploy.DataOptions(target_column="kind")
            task = dashdeploy.load_data("signals.csv", options=options)
    """
    options = options or DataOptions()
    if not isinstance(data, (str, Path)):
        if isinstance(data, Mapping):
            return task_from_arrays("arrays", "data", data, options, seed=seed)
        if hasattr(data, "columns") or hasattr(data, "column_names"):
            _refuse_layout("data", options)
            return load_frame(data, seed=seed, options=options)
        refuse(
            "data", f"{type(data).__name__} is not a data set", "give a path, arrays by name or a data frame"
        )
    path = Path(data)
    if path.suffix == ".ts" or (path.is_dir() and any(path.glob("*.ts"))):
        _refuse_layout(path, options)
        return load_ts(path, seed=seed, options=options)
    if path.is_dir() and any(path.glob("*.npy")):
        return load_npy_folder(path, seed=seed, options=options)
    if path.suffix.lower() in SUFFIXES:
        return load_hdf5(path, seed=seed, options=options)
    if path.is_dir() and has_records(path):
        _refuse_layout(path, options)
        return load_wfdb(path, seed=seed, options=options)
    if path.is_dir() and media_in(path):
        _refuse_layout(path, options)
        return load_class_folders(path, seed=seed, options=options)
    if is_table(path):
        _refuse_layout(path, options)
        return load_table(path, seed=seed, options=options)
    if path.is_dir():
        refuse(
            path,
            "the folder holds neither x_train.npy nor a .ts file nor a table",
            "name the folder or file with the data",
        )
    if path.suffix == ".npy":
        refuse(path, "one array is not a data set", "name the folder that holds x_train.npy, y_train.npy, …")
    return load_npz(path, seed=seed, options=options)


def _refuse_layout(where: object, options: DataOptions) -> None:
    if options.layout is not None:
        refuse(where, "its format says where channels are", f"leave out `layout={options.layout}`")
