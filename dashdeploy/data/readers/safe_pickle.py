"""Reading pickles of arrays without running anything else that they may hold.

Published data sets come as pickles, and a pickle can name any function of any module to be called. Here only the
names that arrays are made of are looked up; whatever else is named ends the reading.
"""

from __future__ import annotations

import _codecs
import pickle
from collections import OrderedDict
from collections.abc import Callable
from gzip import GzipFile
from pathlib import Path
from typing import IO, Any

import numpy as np

from dashdeploy.data.checks import Array, refuse

_MULTIARRAY = np._core.multiarray  # type: ignore[attr-defined]  # where NumPy's pickles say their arrays are made

_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _MULTIARRAY._reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _MULTIARRAY._reconstruct,
    ("numpy.core.multiarray", "scalar"): _MULTIARRAY.scalar,
    ("numpy._core.multiarray", "scalar"): _MULTIARRAY.scalar,
    ("numpy.core.numeric", "_frombuffer"): np._core.numeric._frombuffer,  # type: ignore[attr-defined]
    ("numpy._core.numeric", "_frombuffer"): np._core.numeric._frombuffer,  # type: ignore[attr-defined]
    ("_codecs", "encode"): _codecs.encode,
    ("collections", "OrderedDict"): OrderedDict,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows the names above and no others."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Look a name up.

        Raises:
            pickle.UnpicklingError: it is none that arrays are made of.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data set needs") from None


def read_pickle(where: Path, file: IO[bytes] | GzipFile, encoding: str = "latin1") -> Any:  # noqa: ANN401
    """What the pickle in `file` holds: dictionaries, lists, text, numbers and arrays.

    Args:
        where: the file's path, for messages.
        file: at the pickle's first byte.
        encoding: of Python 2's strings, ``latin1`` or ``bytes``.

    Raises:
        InputError: it is not a pickle, is cut short, or holds anything else.
    """
    try:
        return _ArraysOnly(file, encoding=encoding).load()
    except OSError as error:
        refuse(where, f"cannot be read ({error.strerror or error})", "check the file and its permissions")
    except Exception as error:  # a damaged pickle raises almost anything
        what = " ".join(f"{error}".split()) or type(error).__name__
        refuse(where, f"it cannot be read as data ({what})", "copy the file again")


def read_npy_objects(path: Path) -> Array:
    """Read an ``.npy`` file that may hold an object array, as safely as `read_pickle`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            _, _, dtype = header(file)
            if dtype.hasobject:
                return np.asarray(read_pickle(path, file, "bytes"), dtype=object)
            file.seek(0)
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")
    except (ValueError, KeyError) as error:
        refuse(path, f"not a whole .npy file ({' '.join(str(error).split())})", "copy the file again")
    return array
