"""The published fields of Darcy flow: those of the Fourier neural operators' authors, which NAS-Bench-360 took.

``piececonst_r421_N1024_smooth1.mat`` and ``…smooth2.mat``: ``coeff`` and ``sol`` [1024, 421, 421]. MATLAB's format is
version 5 (SciPy reads it) or 7.3 (HDF5, whose axes are the other way round); the same arrays as ``.npz`` do as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dashdeploy.data.checks import Array, finite, refuse, shown
from dashdeploy.errors import InputError, MissingCapabilityError

NAME = "piececonst_r421_N1024_smooth{}"
COEFFICIENTS, SOLUTIONS = "coeff", "sol"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_published(folder: Path, known: int, tested: int, size: int) -> tuple[Tensor, Tensor]:
    """Permeability and pressure, [known + tested, size, size] each.

    Args:
        folder: holds both files.
        known: how many fields of the first file are taken, from its start.
        tested: how many of the second.
        size: nodes along one side that are kept; as many between any two of them are left out.

    Raises:
        InputError: a file is not there, or holds something else.
        MissingCapabilityError: the package that reads such a file is not installed.
    """
    parts = [_fields(_path(folder, number), count, size) for number, count in ((1, known), (2, tested))]
    a, u = (torch.from_numpy(np.concatenate([part[i] for part in parts])) for i in range(2))
    return a, u


def _path(folder: Path, number: int) -> Path:
    name = NAME.format(number)
    for ending in (".mat", ".npz"):
        if (path := folder / f"{name}{ending}").is_file():
            return path
    raise InputError(
        f"`data_dir={folder}`: {name}.mat (or .npz) is not there; download it as NAS-Bench-360 tells "
        "(https://nb360.ml.cmu.edu) and keep its name, or leave `data_dir` out to generate the fields"
    )


def _fields(path: Path, count: int, size: int) -> list[Array]:
    """The first `count` coefficients and solutions of one file, on `size` nodes a side."""
    if path.suffix == ".npz":
        return [_thinned(path, name, array, count, size) for name, array in _from_npz(path).items()]
    try:
        with path.open("rb") as file:
            hdf5 = file.read(1024).find(HDF5_SIGNATURE) in (0, 512)
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check its permissions")
    read = _from_hdf5 if hdf5 else _from_matlab5
    return [_thinned(path, name, array, count, size) for name, array in read(path).items()]


def _thinned(path: Path, name: str, array: Array, count: int, size: int) -> Array:
    """Check a field's shape and keep `size` equally spaced nodes a side."""
    nodes = array.shape[-1] if array.ndim else 0
    if array.ndim != 3 or array.shape[1] != nodes or len(array) < count or (nodes - 1) % (size - 1):
        refuse(
            path,
            f"{name} has shape {shown(array.shape)}",
            f"the published one is [1024, 421, 421]: at least {count} fields on {size} nodes a side or a multiple",
        )
    every = (nodes - 1) // (size - 1)
    return finite(path, name, array[:count, ::every, ::every])


def _from_npz(path: Path) -> Mapping[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return _both(path, {name: file[name] for name in file.files if name in (COEFFICIENTS, SOLUTIONS)})
    except InputError:
        raise
    except Exception as error:  # zipfile and zlib have errors of their own for a damaged file
        refuse(path, f"cannot be read ({' '.join(str(error).split())})", "download the file again")


def _from_matlab5(path: Path) -> Mapping[str, Array]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingCapabilityError(
            f"{path}: SciPy reads .mat files; install it with: pip install scipy"
        ) from error
    try:
        return _both(path, loadmat(str(path), variable_names=[COEFFICIENTS, SOLUTIONS]))
    except InputError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        refuse(
            path, f"cannot be read as a .mat file ({' '.join(str(error).split())})", "download the file again"
        )


def _from_hdf5(path: Path) -> Mapping[str, Array]:
    try:
        import h5py
    except ImportError as error:
        raise MissingCapabilityError(
            f"{path} is a .mat file of version 7.3, which h5py reads; install it with: pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            names = [name for name in (COEFFICIENTS, SOLUTIONS) if name in file]
            return _both(path, {name: np.transpose(file[name][()]) for name in names})
    except InputError:
        raise
    except Exception as error:
        refuse(path, f"cannot be read as HDF5 ({' '.join(str(error).split())})", "download the file again")


def _both(path: Path, content: Mapping[str, Any]) -> Mapping[str, Array]:
    for name in (COEFFICIENTS, SOLUTIONS):
        if not isinstance(content.get(name), np.ndarray):
            refuse(path, f"it has no array {name}", "download the file again")
    return {name: content[name] for name in (COEFFICIENTS, SOLUTIONS)}
