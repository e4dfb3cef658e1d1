"""One input of an HTTP inference request as an array: from JSON data, or from the binary part of the body."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.tensor_data import BYTES, check_datatype, check_shape, from_raw

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character: JSON can hold it, UTF-8 cannot."""

_JSON_TYPES: dict[str, set[type]] = {"f": {float, int}, "i": {int}, "u": {int}, "b": {bool}, "O": {str}}
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

    def take(self, size: int, name: str) -> memoryview:
        """The next `size` bytes of the body, which are the input `name`.

        Raises:
            RequestError: 400, fewer bytes are left.
        """
        end = self._offset + size
        if end > len(self._body):
            raise RequestError(
                400, f"unexpected size for input '{name}': the body ends before its {size} bytes"
            )
        part = memoryview(self._body)[self._offset : end]
        self._offset = end
        return part

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


def input_tensor(
    tensor: Mapping[str, Any], spec: TensorSpec, binary: BinaryTensors | None, *, limit: int
) -> Array:
    """The array that an element of the request's ``inputs`` describes.

    Args:
        tensor: the JSON object, with ``shape``, ``datatype`` and either ``data`` or the parameter
            ``binary_data_size``.
        spec: what the model takes.
        binary: the binary tensors of the body; None if all of the body is JSON.
        limit: the most bytes of the array.

    Raises:
        RequestError: 400, it is malformed or does not fit `spec`; 413, it is larger than `limit`.
    """
    check_datatype(tensor.get("datatype"), spec)
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(axis) is int for axis in shape):
        raise RequestError(400, f"input '{spec.name}': 'shape' is not an array of integers")
    check_shape(shape, spec, limit=limit)
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
            f"input '{spec.name}' has 'binary_data_size', but the header Inference-Header-Content-Length is missing",
        )
    if type(size) is not int or size < 0:
        raise RequestError(400, f"input '{spec.name}': 'binary_data_size' is not a number of bytes")
    return from_raw(binary.take(size, spec.name), spec, shape)


def raw_input(body: bytes, model: str, inputs: Mapping[str, TensorSpec], *, limit: int) -> dict[str, Array]:
    """The feeds of a raw binary request, whose whole body is the model's one input.

    Source: Triton, "Raw Binary Request".

    Raises:
        RequestError: 400, the model has more inputs or more dynamic axes, or the bytes are not a whole number of
            rows; 413, the tensor is larger than `limit`.
    """
    if len(inputs) != 1:
        raise RequestError(
            400, f"a raw binary request needs a model of one input; '{model}' has {len(inputs)}"
        )
    (spec,) = inputs.values()
    dynamic = [index for index, axis in enumerate(spec.shape) if isinstance(axis, str)]
    shape = [1 if isinstance(axis, str) else axis for axis in spec.shape]
    if len(dynamic) > 1:
        raise RequestError(
            400, f"a raw binary request needs at most one dynamic axis; '{spec.name}' has more"
        )
    row = math.prod(shape) * np.dtype(spec.dtype).itemsize
    if spec.dtype != "object" and dynamic and row:
        if not body or len(body) % row:
            raise RequestError(
                400, f"unexpected size for input '{spec.name}': {len(body)} bytes are not a multiple of {row}"
            )
        shape[dynamic[0]] = len(body) // row
    return {spec.name: from_raw(body, spec, check_shape(shape, spec, limit=limit))}


def _from_json(data: object, spec: TensorSpec, shape: list[int]) -> Array:
    """The array of JSON `data`, flat or nested; as in Triton, only order and number of the values count."""
    values = _flattened(data)
    dtype = np.dtype(spec.dtype)
    datatype = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    if datatype != BYTES and values and set(map(type, values)) <= {str, dict}:
        _refuse_encoded(values, spec.name, datatype, math.prod(shape) * dtype.itemsize)
    if len(values) != math.prod(shape):
        raise RequestError(
            400, f"input '{spec.name}': shape {shape} does not match the {len(values)} elements of 'data'"
        )
    if shape and not isinstance(data, list):
        raise RequestError(400, f"input '{spec.name}': 'data' is one value, not an array")
    # Checked first because NumPy would read strings as numbers, cut off fractions, and take all for true.
    if not set(map(type, values)) <= _JSON_TYPES[dtype.kind]:
        raise RequestError(400, f"input '{spec.name}': 'data' does not hold {datatype} values alone")
    if datatype == BYTES:
        return _from_text(values, spec.name).reshape(shape)
    try:
        with np.errstate(over="ignore"):  # a number beyond a float's range becomes infinite, as in Triton
            return np.array(values, dtype).reshape(shape)
    except OverflowError as error:
        raise RequestError(
            400, f"input '{spec.name}': 'data' has a value outside {datatype}'s range"
        ) from error


def _refuse_encoded(values: list[Any], name: str, datatype: str, size: int) -> NoReturn:
    """Say what numbers as text are, base64 above all: other protocols take it, this one does not.

    Raises:
        RequestError: 400, always.
    """
    first = values[0].get("b64") if isinstance(values[0], dict) else values[0]
    found = "text" if isinstance(values[0], str) else "JSON objects"
    if len(values) == 1 and isinstance(first, str):
        try:
            held = len(base64.b64decode(first.encode(), validate=True))
        except ValueError:
            held = -1
        # A word may happen to be base64; one that holds whole elements, or is marked, is meant as such.
        if held == size or (held >= 0 and isinstance(values[0], dict)):
            found = f"base64 text of {held} bytes"
    raise RequestError(
        400,
        f"input '{name}': 'data' is {found}, but {datatype} values are sent as JSON "
        f"{'true and false' if datatype == 'BOOL' else 'numbers'}, or as raw bytes behind the JSON with the "
        "parameter 'binary_data_size' (base64 is not part of the protocol)",
    )


def _from_text(values: list[Any], name: str) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    if any(LONE_SURROGATE.search(value) for value in values):
        raise RequestError(400, f"input '{name}': 'data' holds text that is not Unicode")
    return array


def _flattened(data: object) -> list[object]:
    values: list[Any] = data if isinstance(data, list) else [data]
    while values and isinstance(values[0], list):
        if set(map(type, values)) != {list}:
            raise RequestError(400, "'data' mixes values and arrays")
        values = list(chain.from_iterable(values))
    return values
