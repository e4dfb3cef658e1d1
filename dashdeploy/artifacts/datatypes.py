"""The Open Inference Protocol's tensor data types and the NumPy types they stand for.

Source: Open Inference Protocol, "Tensor Data Types". BYTES are NumPy's objects: str for the engines, bytes for
clients. BF16 has no NumPy type and is not served.
"""

from __future__ import annotations

import numpy as np

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
