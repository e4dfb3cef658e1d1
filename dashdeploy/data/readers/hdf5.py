"""A user's own data: an HDF5 file (``.h5``, ``.hdf5``) with the arrays of an ``.npz`` file, or groups of x and y.

Datasets x_train, y_train, … (`dashdeploy.data.arrays.names`), groups train and test with x and y, or X and y alone.
What HDF5 reads as 0 without a word is looked for, see `hdf5_storage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.data.arrays.names import names_of_arrays
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.class_labels import plain_text
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.lazy_inputs import LazyInputs
from dashdeploy.data.readers.hdf5_storage import files_of, holes_of
from dashdeploy.data.readers.npy_folder import sha256_of_all
from dashdeploy.data.task import Task
from dashdeploy.errors import MissingCapabilityError

SUFFIXES = (".h5", ".hdf5")
_CHUNK_CACHE = 64 * 2**20
"""Bytes for each dataset: rows at random fall into chunks that were decompressed for others."""


def load_hdf5(path: Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of the HDF5 file `path`. Inputs that are too large for memory stay in the file.

    Args:
        path: the file.
        seed: chooses what is held out of the training data for validation, and for the test where the data have no
            test part.
        options: what is predicted, the loss, the metric, the scaling.

    Raises:
        InputError: the file or one of its datasets cannot be used; the message names the dataset and the fix.
        MissingCapabilityError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingCapabilityError(
            f"{path} is an HDF5 file, which h5py reads; install it with: pip install 'dashdeploy[formats]'"
        ) from error
    with _named_errors(path):
        file = h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE)
    keep_open = False
    try:
        task = _task_of(path, file, seed, options)
        keep_open = isinstance(task.train.inputs, LazyInputs)  # batches are read from it
        return task
    finally:
        if not keep_open:
            file.close()


def _task_of(path: Path, file: Any, seed: int, options: DataOptions | None) -> Task:  # noqa: ANN401 - h5py has no types
    with _named_errors(path):
        found = _names(file)
        known = names_of_arrays(path, found, "write it as file['{}'] = …")
        datasets = {name: _dataset(path, file, name) for name in known.values()}
        files = {path.resolve()}
        notes: list[str] = []
        for dataset in datasets.values():
            files |= files_of(path, dataset)
            notes += holes_of(path, dataset)
        arrays = {
            name: _rows(path, datasets[name]) if each.startswith("x_") else _values(path, datasets[name])
            for each, name in known.items()
        }
    sha256 = sha256_of(path) if len(files) == 1 else sha256_of_all(sorted(files))
    source = {"path": str(path.resolve()), "sha256": sha256}
    return task_from_arrays(path.stem, path, arrays, options, seed=seed, source=source, notes=notes)


def _names(file: Any) -> list[str]:  # noqa: ANN401
    """The names of all datasets and links, those in groups of the file with the group's name before."""
    import h5py

    names: list[str] = []
    for key in file:
        inner = file.get(key)
        names += [f"{key}/{each}" for each in inner] if isinstance(inner, h5py.Group) else [key]
    return names


def _dataset(path: Path, file: Any, name: str) -> Any:  # noqa: ANN401
    import h5py

    dataset = file.get(name)
    if dataset is None:
        link = file.get(name, getlink=True)
        to = f" in {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
        refuse(path, f"{name} is a link to {link.path}{to}, which is not there", "copy that as well")
    if not isinstance(dataset, h5py.Dataset):
        refuse(path, f"{name} is not a dataset", "write the array there")
    return dataset


def _rows(path: Path, dataset: Any) -> StoredArray:  # noqa: ANN401
    """A dataset of inputs, whose rows are read on request."""
    if not isinstance(dataset.dtype, np.dtype) or dataset.dtype.kind not in "fiub" or not dataset.shape:
        shape, kind = (
            dataset.shape,
            "of objects or text" if dataset.dtype.kind in "OSUV" else f"{dataset.dtype}",
        )
        refuse(
            path,
            f"{dataset.name.lstrip('/')} is {kind}, shape {shape}",
            "write real numbers of one shape, such as float32 [n, channels, length]",
        )

    def read(rows: Sequence[int]) -> Array:
        with _named_errors(path):
            if isinstance(rows, range) and rows.step == 1:
                block: Array = dataset[rows.start : rows.stop]
                return block
            batch = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
            for place in np.argsort(np.asarray(rows), kind="stable"):  # one chunk after the other
                batch[place] = dataset[rows[place]]
            return batch

    return StoredArray(dataset.shape, dataset.dtype, read)


def _values(path: Path, dataset: Any) -> Array:  # noqa: ANN401
    """A dataset of targets or names: text decoded, enumerations by their names."""
    import h5py

    with _named_errors(path):
        if h5py.check_string_dtype(dataset.dtype) is not None:
            values: Array = np.asarray(dataset[()], object if dataset.dtype.kind == "O" else None)
            if values.dtype.kind != "O":
                return plain_text(values)
            decoded = [each.decode("utf-8", "replace") for each in values.ravel().tolist()]
            return np.array(decoded, np.str_).reshape(values.shape)
        values = np.asarray(dataset[()])
    enumeration = h5py.check_enum_dtype(dataset.dtype)
    if enumeration is None or values.dtype.kind == "b":
        return values
    names = {number: name for name, number in enumeration.items()}
    return np.array([names.get(each, str(each)) for each in values.ravel().tolist()], np.str_).reshape(
        values.shape
    )


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """What goes wrong in HDF5, as an `InputError`."""
    try:
        yield
    except FileNotFoundError:
        refuse(path, "no such file", "check the path of `data`")
    except (OSError, RuntimeError) as error:
        what = " ".join(str(error).split())
        refuse(path, f"it cannot be read as HDF5 ({what})", "check its permissions, or write the file again")
