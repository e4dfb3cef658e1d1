"""One input of an inference request as an array: shape and type checks, JSON data, binary data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.datatypes import DATATYPE_BY_NUMPY_NAME, NUMPY_BY_DATATYPE
from dashdeploy.serve.request_error import RequestError
from dashdeploy.tensor_spec import TensorSpec

_JSON_TYPES: dict[str, set[type]] = {"f": {float, int}, "i": {int}, "u": {int}, "b": {bool}}
"""The types of JSON value that an input takes, by the kind of its NumPy type."""


class BinaryTensors:
    """The binary tensors behind a request's JSON, consumed from front to back.

    Args:
        body: the whole body.
        start: the offset of the first tensor, which is the length of the JSON.
    """

    def __init__(self, body: bytes, start: int) -> None:
        self._body = body
        self._offset = start

    def take(self, dtype: np.dtype[np.generic], count: int) -> Array | None:
        """The next `count` elements as a view of the body, or None if fewer bytes are left."""
        end = self._offset + count * dtype.itemsize
        if end > len(self._body):
            return None
        array = np.frombuffer(self._body, dtype, count, self._offset)
        self._offset = end
        # The JSON before it has any length; an engine may rely on the alignment of the element type.
        return array if array.flags.aligned else array.copy()

    def check_all_consumed(self, model: str) -> None:
        """Refuse bytes that belong to no input.

        Raises:
            RequestError: 400, there are some.
        """
        extra = len(self._body) - self._offset
        if extra:
            raise RequestError(400, f"unexpected additional input data for model '{model}': {extra} bytes")


def parameters_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``parameters`` object of a request, an input or an output; empty if there is none.

    Raises:
        RequestError: 400, it is not an object.
    """
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(400, "'parameters' is not a JSON object")
    return parameters


def input_tensor(tensor: Mapping[str, Any], spec: TensorSpec, binary: BinaryTensors | None) -> Array:
    """The array that an element of the request's ``inputs`` describes.

    Args:
        tensor: the JSON object, with ``shape``, ``datatype`` and either ``data`` or the parameter
            ``binary_data_size``.
        spec: what the model takes.
        binary: the binary tensors of the body; None if all of the body is JSON.

    Raises:
        RequestError: 400, it is malformed or does not fit `spec`.
    """
    _check_datatype(tensor, spec)
    shape = _checked_shape(tensor, spec)
    datatype = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    size = parameters_of(tensor).get("binary_data_size")
    if size is None:
        if "data" not in tensor:
            raise RequestError(400, f"input '{spec.name}' has neither 'data' nor 'binary_data_size'")
        return _from_json(tensor["data"], spec, shape)
    if "data" in tensor:
        raise RequestError(400, f"input '{spec.name}' has both 'data' and 'binary_data_size'")
    if binary is None:
        raise RequestError(
            400,
            f"input '{spec.name}' has 'binary_data_size', but there is no Inference-Header-Content-Length",
        )
    dtype = NUMPY_BY_DATATYPE[datatype]
    count = math.prod(shape)
    if isinstance(size, bool) or size != count * dtype.itemsize:
        raise RequestError(
            400,
            f"unexpected size for input '{spec.name}': binary_data_size is {size}, but {datatype} of shape "
            f"{shape} takes {count * dtype.itemsize} bytes",
        )
    array = binary.take(np.dtype(np.uint8) if datatype == "BOOL" else dtype, count)
    if array is None:
        raise RequestError(
            400, f"unexpected size for input '{spec.name}': the body ends before its {size} bytes"
        )
    if datatype == "BOOL":
        if array.size and array.max() > 1:
            raise RequestError(400, f"input '{spec.name}': a BOOL is a byte of 0 or 1")
        array = array.view(np.bool_)
    return array.reshape(shape)


def _check_datatype(tensor: Mapping[str, Any], spec: TensorSpec) -> None:
    expected = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    datatype = tensor.get("datatype")
    if datatype != expected:
        raise RequestError(
            400, f"input '{spec.name}' has datatype {datatype!r}, but the model expects {expected}"
        )


def _checked_shape(tensor: Mapping[str, Any], spec: TensorSpec) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(axis) is int for axis in shape):
        raise RequestError(400, f"input '{spec.name}': 'shape' is not an array of integers")
    if any(axis < 0 for axis in shape):
        raise RequestError(400, f"invalid shape for input '{spec.name}': {shape} has a negative dimension")
    fits = len(shape) == len(spec.shape) and all(
        length >= 1 if isinstance(axis, str) else length == axis
        for length, axis in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        expected = [-1 if isinstance(axis, str) else axis for axis in spec.shape]
        raise RequestError(
            400,
            f"unexpected shape for input '{spec.name}': expected {expected} "
            f"(-1 is any length from 1 up), got {shape}",
        )
    return shape


def _from_json(data: object, spec: TensorSpec, shape: list[int]) -> Array:
    """The array of JSON `data`, flat or nested; as in Triton, only order and number of the values count."""
    values = _flattened(data)
    if len(values) != math.prod(shape):
        raise RequestError(
            400, f"input '{spec.name}': shape {shape} does not match the {len(values)} elements of 'data'"
        )
    dtype = np.dtype(spec.dtype)
    datatype = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    # Checked first because NumPy would read strings as numbers, cut off fractions, and take all for true.
    if not set(map(type, values)) <= _JSON_TYPES[dtype.kind]:
        raise RequestError(400, f"input '{spec.name}': 'data' does not hold {datatype} values alone")
    try:
        with np.errstate(over="ignore"):  # a number beyond a float's range becomes infinite, as in Triton
            return np.array(values, dtype).reshape(shape)
    except OverflowError as error:
        raise RequestError(
            400, f"input '{spec.name}': 'data' has a value outside {datatype}'s range"
        ) from error


def _flattened(data: object) -> list[object]:
    values: list[Any] = data if isinstance(data, list) else [data]
    while values and isinstance(values[0], list):
        if set(map(type, values)) != {list}:
            raise RequestError(400, "'data' mixes values and arrays")
        values = list(chain.from_iterable(values))
    return values
