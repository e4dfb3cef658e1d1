"""Reading and checking the files of NAS-Bench-360."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dashdeploy.data.checks import Array, finite, refuse, shown
from dashdeploy.data.readers.safe_pickle import read_pickle
from dashdeploy.data.task import Split
from dashdeploy.errors import InputError

Shape = tuple[int | None, ...]


def needed(folder: Path, *parts: str) -> Path:
    """The path of a file of the benchmark.

    Raises:
        InputError: it is not there.
    """
    path = folder.joinpath(*parts)
    if not path.is_file():
        raise InputError(
            f"`data_dir={folder}`: {'/'.join(parts)} is not there; download it as NAS-Bench-360 tells "
            "(https://nb360.ml.cmu.edu) and keep its name"
        )
    return path


def pickled(path: Path, *, zipped: bool = False) -> Mapping[str, Any]:
    """The dictionary that a pickle holds.

    Raises:
        InputError: it holds something else, or cannot be read.
    """
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            content = read_pickle(path, file)
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the file and its permissions")
    if not isinstance(content, Mapping):
        refuse(path, f"it holds a {type(content).__name__}, not a dictionary", "download the file again")
    return content


def zipped_arrays(path: Path) -> Mapping[str, Array]:
    """All arrays of an ``.npz`` file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        refuse(path, f"cannot be read ({' '.join(str(error).split())})", "download the file again")


def entry(path: Path, content: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401
    """``content[names[0]][names[1]]…``.

    Raises:
        InputError: the entry does not exist.
    """
    found: Any = content
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            refuse(path, f"it has no entry {'/'.join(names)}", "download the file again")
        found = found[name]
    return found


def inputs(path: Path, name: str, array: object, shape: Shape) -> Array:
    """Check an array of numbers: its axes (None is any length) and that all of it is finite; float32.

    Raises:
        InputError: it is not as the benchmark has it.
    """
    found = np.asarray(array)
    if found.dtype.kind not in "fiub":
        refuse(path, f"{name} has dtype {found.dtype}", "download the file again")
    fits = found.ndim == len(shape) and all(
        wanted in (None, have) for wanted, have in zip(shape, found.shape, strict=True)
    )
    if not fits or not found.size:
        wanted = "[" + ", ".join("n" if axis is None else str(axis) for axis in shape) + "]"
        refuse(path, f"{name} has shape {shown(found.shape)}, not {wanted}", "download the file again")
    return finite(path, name, found)


def class_indices(path: Path, name: str, array: object, classes: int, count: int) -> Array:
    """Check class indices [count] from 0 to `classes` - 1; int64.

    Raises:
        InputError: they are not as the benchmark has them.
    """
    found = np.asarray(array)
    if found.ndim > 1:
        found = found.reshape(len(found), -1)[:, 0]
    if found.shape != (count,) or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        refuse(path, f"{name} are not {count} class indices", "download the file again")
    wrong = (found < 0) | (found >= classes) | (found != np.round(found))
    if wrong.any():
        at = int(np.argmax(wrong))
        refuse(
            path,
            f"{name} is {found[at]} at index {at}, not a class from 0 to {classes - 1}",
            "download it again",
        )
    return found.astype(np.int64)


def split(x: Array, y: Array) -> Split:
    """Tensors of both."""
    return Split(torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y)))


def last(data: Split, count: int) -> tuple[Split, Split]:
    """Training and validation: the last `count` samples are held out, as the benchmark's loaders do."""
    return (
        Split(data.inputs[:-count], data.targets[:-count]),
        Split(data.inputs[-count:], data.targets[-count:]),
    )
