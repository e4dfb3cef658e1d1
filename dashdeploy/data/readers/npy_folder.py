"""A user's own data: a folder of x_train.npy, y_train.npy, x_test.npy, y_test.npy (x_val, y_val, labels).

For data that does not fit well into one ``.npz`` or into memory, or that several programs write. Read without pickle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.data.arrays.names import names_of_arrays
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.task import Task


def load_npy_folder(folder: Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of the ``.npy`` files in `folder`.

    Args:
        folder: the folder.
        seed: chooses what is held out of the training data for validation, where x_val and y_val are absent,
            and for the test, where x_test and y_test are absent.
        options: what is predicted, the loss, the metric, the scaling.

    Raises:
        InputError: a file is missing or cannot be used; the message names it and the fix.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    known = names_of_arrays(folder, list(paths), "save it as numpy.save(folder / '{}.npy', …)")
    names = known.values()
    arrays = {
        name: map_npy(paths[name]) if each.startswith("x_") else read_npy(paths[name])
        for each, name in known.items()
    }
    source = {"path": str(folder.resolve()), "sha256": sha256_of_all(paths[name] for name in names)}
    return task_from_arrays(folder.resolve().name, folder, arrays, options, seed=seed, source=source)


def read_npy(path: Path) -> Array:
    """Read one ``.npy`` file, without pickle.

    Raises:
        InputError: it cannot be read, is not a ``.npy`` file, is cut short, or needs pickle.
    """
    with _named_errors(path), path.open("rb") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def map_npy(path: Path) -> Array | StoredArray:
    """One ``.npy`` file, mapped: what is not asked for stays on the disk.

    Raises:
        InputError: as `read_npy`.
    """
    with _named_errors(path):
        try:
            array: Array = np.lib.format.open_memmap(path, mode="r")
        except ValueError:  # no objects and nothing empty can be mapped; reading says why a file is not whole
            return read_npy(path)
    return StoredArray.of(array) if array.ndim else np.array(array)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """What goes wrong with the file at `path`, as an `InputError`."""
    try:
        yield
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")
    except ValueError as error:
        if "Object arrays" in str(error):
            fix = "save plain numbers of one shape, and classes that are text by .astype(str)"
            refuse(path, "it holds an object array, which needs pickle", fix)
        refuse(path, f"not a whole .npy file ({' '.join(str(error).split())})", "write it with numpy.save")


def sha256_of_all(paths: Iterable[Path]) -> str:
    """One sha256 for several files: of their names and their own sha256, line by line."""
    lines = [f"{path.name} {sha256_of(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_of_tree(folder: Path, paths: Iterable[Path]) -> str:
    """One sha256 for files below a folder: of their places there and their own sha256, line by line."""
    lines = [f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n" for path in sorted(paths)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
