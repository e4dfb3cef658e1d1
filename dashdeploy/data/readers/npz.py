"""A user's own data: one ``.npz`` file with x_train, y_train, x_test, y_test and, if wanted, x_val, y_val, labels.

Other names that mean the same, and X and y without a test part, are known to `dashdeploy.data.arrays.names`.

The file is read without pickle, so loading it runs nobody's code.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.data.arrays.names import names_of_arrays
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.task import Task


def load_npz(path: str | Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of the ``.npz`` file `path`.

    Args:
        path: the file.
        seed: chooses what is held out of the training data for validation, where x_val and y_val are absent,
            and for the test, where x_test and y_test are absent.
        options: what is predicted, the loss, the metric, the scaling.

    Returns:
        The task: its splits, inputs [n, channels, *spatial] in float32, and what the network is to give.

    Raises:
        InputError: the file or one of its arrays cannot be used; the message names the array and the fix.

    Example:
        ::

            task = dashdeploy.load_npz("signals.npz", seed=1)
            print(task.input_shape, task.labels)
    """
    path = Path(path)
    arrays = _read_arrays(path)
    source = {"path": str(path.resolve()), "sha256": sha256_of(path)}
    return task_from_arrays(path.stem, path, arrays, options, seed=seed, source=source)


def _read_arrays(path: Path) -> dict[str, Array]:
    if path.is_dir():
        refuse(path, "this is a folder", "name an .npz file")
    try:
        if not zipfile.is_zipfile(path):
            if not path.exists():
                refuse(path, "no such file", "check the path of `data`")
            path.open("rb").close()  # an unreadable file raises here, with its own reason
            refuse(
                path,
                "not an .npz file (no zip, or cut short)",
                "write it with numpy.savez_compressed",
            )
        with np.load(path, allow_pickle=False) as archive:
            names = names_of_arrays(path, archive.files, "save it as numpy.savez(path, {}=…)")
            return {name: _read_array(path, name, archive) for name in names.values()}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        refuse(path, f"the archive is damaged ({error})", "copy or write it again")
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")


def _read_array(path: Path, name: str, archive: Mapping[str, Array]) -> Array:
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            fix = "save plain numbers of one shape, and classes that are text by .astype(str)"
            refuse(path, f"{name} is an object array, which needs pickle", fix)
        refuse(path, f"{name} cannot be read ({error})", "write the file again")
    if not isinstance(array, np.ndarray):  # NumPy hands out a foreign member's bytes as they are
        refuse(path, f"{name} is not an array", "write the file with numpy.savez_compressed")
    return array
