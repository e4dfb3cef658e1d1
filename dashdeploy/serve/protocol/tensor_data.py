"""One input tensor, whichever protocol it came by: type, shape and size checks, and arrays from raw bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, NUMPY_BY_DATATYPE, TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.bytes_tensors import decode_bytes, encode_bytes
from dashdeploy.serve.protocol.errors import RequestError

BYTES = "BYTES"

# Looked up per output: a dtype hashes at once, while NumPy puts its name together anew each time.
_DATATYPE_BY_DTYPE = {np.dtype(name): datatype for name, datatype in DATATYPE_BY_NUMPY_NAME.items()}


def check_datatype(datatype: object, spec: TensorSpec) -> None:
    """Refuse another type than the model's.

    Raises:
        RequestError: 400.
    """
    expected = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    if datatype != expected:
        raise RequestError(
            400, f"input '{spec.name}' has datatype {datatype!r}, but the model expects {expected}"
        )


def check_shape(shape: Sequence[int], spec: TensorSpec, *, limit: int) -> list[int]:
    """Refuse a shape that the model does not take, or that is too large.

    Args:
        shape: the shape in the request.
        spec: the model's input.
        limit: the most bytes of the tensor.

    Raises:
        RequestError: 400 for a shape that does not fit, 413 for one beyond the limit.
    """
    if any(axis < 0 for axis in shape):
        raise RequestError(
            400, f"invalid shape for input '{spec.name}': {list(shape)} has a negative dimension"
        )
    fits = len(shape) == len(spec.shape) and all(
        length >= 1 if isinstance(axis, str) else length == axis
        for length, axis in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise RequestError(
            400,
            f"unexpected shape for input '{spec.name}': expected {wire_shape(spec)} "
            f"(-1 is any length from 1 up), got {list(shape)}",
        )
    size = math.prod(shape) * np.dtype(spec.dtype).itemsize
    if size > limit:
        raise RequestError(
            413,
            f"input '{spec.name}': shape {list(shape)} takes {size} bytes, more than the limit of {limit}",
        )
    return list(shape)


def wire_shape(spec: TensorSpec) -> list[int]:
    """A tensor's shape as the protocol has it: -1 for a dynamic axis."""
    return [-1 if isinstance(axis, str) else axis for axis in spec.shape]


def from_raw(data: bytes | memoryview, spec: TensorSpec, shape: list[int]) -> Array:
    """The array of an input's raw little-endian bytes; a view of them where their alignment allows.

    Raises:
        RequestError: 400, their number does not fit the shape, or they hold no values of the type.
    """
    count = math.prod(shape)
    datatype = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    if datatype == BYTES:
        return decode_bytes(data, count, spec.name).reshape(shape)
    dtype = NUMPY_BY_DATATYPE[datatype]
    if len(data) != count * dtype.itemsize:
        raise RequestError(
            400,
            f"unexpected size for input '{spec.name}': {len(data)} bytes, but {datatype} of shape {shape} "
            f"takes {count * dtype.itemsize}",
        )
    array: Array = np.frombuffer(data, np.uint8 if datatype == "BOOL" else dtype, count)
    if datatype == "BOOL":
        if array.size and array.max() > 1:
            raise RequestError(400, f"input '{spec.name}': a BOOL is a byte of 0 or 1")
        array = array.view(np.bool_)
    # What lies before the tensor has any length; an engine may rely on the alignment of the element type.
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def to_raw(array: Array) -> bytes | memoryview:
    """An array's elements in row-major order as raw little-endian bytes."""
    if array.dtype.kind == "O":
        return encode_bytes(array)
    contiguous = np.ascontiguousarray(array)
    return contiguous.astype(contiguous.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's type."""
    return _DATATYPE_BY_DTYPE[array.dtype]
