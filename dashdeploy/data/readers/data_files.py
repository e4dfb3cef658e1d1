"""Data of the user's own: a file or folder, read by what it is."""

from __future__ import annotations

from pathlib import Path

from dashdeploy.data.checks import refuse
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.hdf5 import SUFFIXES, load_hdf5
from dashdeploy.data.readers.npy_folder import load_npy_folder
from dashdeploy.data.readers.npz import load_npz
from dashdeploy.data.readers.recordings.class_folders import has_media, load_class_folders
from dashdeploy.data.readers.recordings.wfdb_records import has_records, load_wfdb
from dashdeploy.data.readers.ts_files import load_ts
from dashdeploy.data.task import Task


def load_data(path: str | Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of an ``.npz`` file, a folder of ``.npy`` files, or a pair of ``.ts`` files.

    Args:
        path: the file or folder.
        seed: chooses what is held out of the training data for validation.
        options: what is predicted, the loss, the metric, the scaling.

    Raises:
        InputError: it is none of these, or cannot be used; the message names the place and the mend.
    """
    path = Path(path)
    if path.is_dir():
        if any(path.glob("*.ts")):
            return load_ts(path, seed=seed, options=options)
        if any(path.glob("*.npy")):
            return load_npy_folder(path, seed=seed, options=options)
        if has_records(path):
            return load_wfdb(path, seed=seed, options=options)
        if has_media(path):
            return load_class_folders(path, seed=seed, options=options)
        refuse(
            path,
            "the folder holds neither x_train.npy nor a .ts file",
            "name the folder or file with the data",
        )
    if path.suffix == ".ts":
        return load_ts(path, seed=seed, options=options)
    if path.suffix.lower() in SUFFIXES:
        return load_hdf5(path, seed=seed, options=options)
    if path.suffix == ".npy":
        refuse(path, "one array is not a data set", "name the folder that holds x_train.npy, y_train.npy, …")
    return load_npz(path, seed=seed, options=options)
