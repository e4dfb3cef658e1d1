"""What a model's input or output is: its name, shape and element type, by NumPy's name and by the protocol's.

Source of the data types: Open Inference Protocol, "Tensor Data Types". BYTES are NumPy's objects: str for the
engines, bytes for clients. BF16 has no NumPy type and is not served.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dashdeploy.artifacts.json_files import FrozenModel

_NUMPY_NAMES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}

NUMPY_BY_DATATYPE: dict[str, np.dtype[np.generic]] = {
    datatype: np.dtype(name).newbyteorder("<") for datatype, name in _NUMPY_NAMES.items()
}
"""NumPy's element type by the protocol's name, in the little-endian order of the binary tensor extension."""

DATATYPE_BY_NUMPY_NAME: dict[str, str] = {name: datatype for datatype, name in _NUMPY_NAMES.items()}
"""The protocol's name by NumPy's, such as FP32 for ``float32``."""

_AT_A_TIME = 2**20
"""Random numbers, of which large inputs need many."""

Dimension = Annotated[int, Field(ge=0)] | str
"""A fixed length, or the name of a dynamic axis such as ``batch``."""


class TensorSpec(FrozenModel):
    """One input or output of a model.

    Attributes:
        name: the tensor's name in the model.
        shape: one entry per axis; a string names a dynamic axis (the batch).
        dtype: NumPy's name of the element type, such as ``float32``; ``object`` for text.
    """

    name: str
    shape: tuple[Dimension, ...]
    dtype: str

    def zeros(self, batch: int) -> npt.NDArray[np.generic]:
        """An array of zeros (of empty strings for text) of this shape, every dynamic axis of length `batch`."""
        shape = [batch if isinstance(axis, str) else axis for axis in self.shape]
        return np.full(shape, "", object) if self.dtype == "object" else np.zeros(shape, dtype=self.dtype)

    def random(self, batch: int, generator: np.random.Generator) -> npt.NDArray[np.generic]:
        """Random numbers of this shape, with every dynamic axis of length `batch`.

        Standard normal for a floating-point type; 0 or 1 otherwise, which any table of indices holds, as text
        where the type is text.
        """
        shape = [batch if isinstance(axis, str) else axis for axis in self.shape]
        if self.dtype == "object":
            return generator.integers(0, 2, shape).astype(str).astype(object)
        if np.dtype(self.dtype).kind != "f":
            return generator.integers(0, 2, shape).astype(self.dtype)
        numbers = np.empty(math.prod(shape), self.dtype)
        for start in range(0, numbers.size, _AT_A_TIME):
            part = numbers[start : start + _AT_A_TIME]
            part[:] = generator.standard_normal(part.size)  # in double precision, piece by piece
        return numbers.reshape(shape)
