"""A user's own data: one ``.npz`` file with x_train, y_train, x_test, y_test and, if wanted, x_val, y_val.

Inputs are [n, channels, length], or [n, length] for one channel; targets are class indices [n]. The file is
read without pickle, so loading it runs nobody's code.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from dashdeploy.atomic import sha256_of
from dashdeploy.errors import InputError
from dashdeploy.tasks.task import Split, Task, classification, hold_out

VALIDATION_SHARE = 0.15
REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("x_val", "y_val")
FEWEST_TRAINING_SAMPLES = 8

Array = npt.NDArray[Any]


def load_npz(path: Path, *, seed: int = 0) -> Task:
    """Read a classification task from the ``.npz`` file `path`.

    Args:
        path: the file.
        seed: chooses what is held out of the training data for validation, if there is no x_val and y_val.

    Raises:
        InputError: the file or one of its arrays cannot be used; the message names the array and the mend.
    """
    arrays = _read_arrays(path)
    names = ["train", "test"] + (["val"] if "x_val" in arrays else [])
    inputs = {name: _inputs(path, f"x_{name}", arrays[f"x_{name}"]) for name in names}
    targets = {name: _targets(path, f"y_{name}", arrays[f"y_{name}"]) for name in names}
    for name in names:
        count, labelled = len(inputs[name]), len(targets[name])
        if count != labelled:
            _refuse(
                path,
                f"x_{name} has {count} samples but y_{name} has {labelled}",
                "give every sample one label",
            )
        shape, expected = inputs[name].shape[1:], inputs["train"].shape[1:]
        if shape != expected:
            _refuse(
                path,
                f"x_{name} has samples of shape {_shape(shape)} but x_train of shape {_shape(expected)}",
                "use the same channels and length everywhere",
            )
    if len(inputs["train"]) < FEWEST_TRAINING_SAMPLES:
        _refuse(
            path,
            f"x_train has {len(inputs['train'])} samples",
            f"training needs at least {FEWEST_TRAINING_SAMPLES}",
        )
    classes = _class_count(path, targets)
    splits = {name: Split(torch.from_numpy(inputs[name]), torch.from_numpy(targets[name])) for name in names}
    train, validation = splits["train"], splits.get("val")
    if validation is None:
        train, validation = hold_out(train, VALIDATION_SHARE, seed)
        if not len(validation.targets):
            _refuse(
                path,
                "y_train has no class with two samples, so none can be held out for validation",
                "add x_val and y_val",
            )
    return classification(
        path.stem,
        tuple(str(label) for label in range(classes)),
        train=train,
        validation=validation,
        test=splits["test"],
        source={"path": str(path.resolve()), "sha256": sha256_of(path)},
    )


def _read_arrays(path: Path) -> dict[str, Array]:
    if path.is_dir():
        _refuse(path, "this is a folder", "name an .npz file")
    try:
        if not zipfile.is_zipfile(path):
            if not path.exists():
                _refuse(path, "no such file", "check the path of --data")
            path.open("rb").close()  # an unreadable file raises here, with its own reason
            _refuse(
                path,
                "not an .npz file (no zip, or cut short)",
                "write it with numpy.savez_compressed",
            )
        with np.load(path, allow_pickle=False) as archive:
            names = [name for name in (*REQUIRED, *OPTIONAL) if name in archive.files]
            _check_names(path, names, archive.files)
            return {name: _read_array(path, name, archive) for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        _refuse(path, f"the archive is damaged ({error})", "copy or write it again")
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")


def _check_names(path: Path, names: list[str], found: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if not missing and len(set(OPTIONAL) & set(names)) == 1:
        missing = [name for name in OPTIONAL if name not in names]
    if missing:
        has = ", ".join(found[:8]) or "no arrays"
        _refuse(
            path,
            f"array {missing[0]} is missing (the file has {has})",
            f"save it as numpy.savez(path, {missing[0]}=…)",
        )


def _read_array(path: Path, name: str, archive: Mapping[str, Array]) -> Array:
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            _refuse(path, f"{name} is an object array, which needs pickle", "save plain numbers of one shape")
        _refuse(path, f"{name} cannot be read ({error})", "write the file again")
    if not isinstance(array, np.ndarray):  # NumPy hands out a foreign member's bytes as they are
        _refuse(path, f"{name} is not an array", "write the file with numpy.savez_compressed")
    return array


def _inputs(path: Path, name: str, array: Array) -> npt.NDArray[np.float32]:
    """Check one input array and bring it to [n, channels, length], float32."""
    if array.dtype.kind not in "fiub":
        _refuse(path, f"{name} has dtype {array.dtype}", "use real numbers (float32)")
    if array.ndim == 4:
        _refuse(
            path,
            f"{name} has 4 axes, shape {_shape(array.shape)}, and images cannot be searched yet",
            "use series [n, channels, length]",
        )
    if array.ndim not in (2, 3):
        _refuse(
            path,
            f"{name} has {array.ndim} axes, shape {_shape(array.shape)}",
            "use [n, channels, length], or [n, length] for one channel",
        )
    if array.size == 0:
        _refuse(path, f"{name} is empty, shape {_shape(array.shape)}", "every axis needs at least one entry")
    finite = np.isfinite(array)
    if not finite.all():
        first = _shape(tuple(int(i) for i in np.argwhere(~finite)[0]))
        _refuse(
            path,
            f"{name} holds {int((~finite).sum())} values that are NaN or infinite, the first at "
            f"index {first}",
            "fill or drop them",
        )
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(single).all():
        first = _shape(tuple(int(i) for i in np.argwhere(~np.isfinite(single))[0]))
        _refuse(path, f"{name} has values beyond float32, the first at index {first}", "scale the data")
    return single[:, None, :] if single.ndim == 2 else single


def _targets(path: Path, name: str, array: Array) -> npt.NDArray[np.int64]:
    """Check one label array and bring it to [n], int64."""
    if array.dtype.kind not in "fiub":
        _refuse(path, f"{name} has dtype {array.dtype}", "use class indices 0, 1, 2, … as integers")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        _refuse(
            path,
            f"{name} has shape {_shape(array.shape)}",
            "use one class index per sample, [n], not one-hot",
        )
    if array.size == 0:
        _refuse(path, f"{name} is empty", "every split needs at least one sample")
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.round(np.nan_to_num(array)))
        if not whole.all():
            at = int(np.argmin(whole))
            _refuse(path, f"{name} is {array[at]} at index {at}", "classes are integers 0, 1, 2, …")
    if array.min() < 0:
        at = int(np.argmin(array))
        _refuse(path, f"{name} is {int(array[at])} at index {at}", "classes count from 0")
    return array.astype(np.int64)


def _class_count(path: Path, targets: Mapping[str, npt.NDArray[np.int64]]) -> int:
    """Number of classes: those of the training data, which must be 0, 1, … without a gap."""
    known = np.unique(targets["train"])
    classes = int(known[-1]) + 1
    if len(known) == 1:
        _refuse(path, f"y_train holds the one class {int(known[0])}", "a classifier needs at least two")
    if len(known) < classes:
        absent = int(np.setdiff1d(np.arange(min(classes, len(known) + 1)), known)[0])
        _refuse(
            path,
            f"y_train runs up to class {classes - 1} but class {absent} has no sample",
            "number the classes 0, 1, 2, … without a gap",
        )
    for name, labels in targets.items():
        unknown = np.flatnonzero(labels >= classes)
        if unknown.size:
            at = int(unknown[0])
            _refuse(
                path,
                f"y_{name} is {int(labels[at])} at index {at}, a class that y_train never has "
                f"(it has 0 to {classes - 1})",
                "add training samples of it, or drop it",
            )
    return classes


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(axis) for axis in shape) + "]"


def _refuse(path: Path, wrong: str, mend: str) -> NoReturn:
    raise InputError(f"{path}: {wrong}; {mend}")
