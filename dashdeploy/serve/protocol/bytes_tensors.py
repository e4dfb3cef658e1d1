"""Tensors of type BYTES, whose elements have any length: strings of text for the engines.

Source: Triton, "Binary Tensor Data Extension": each element is its length, four bytes little-endian, and then
its bytes.
"""

from __future__ import annotations

import numpy as np

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.errors import RequestError

_PREFIX = 4


def decode_bytes(data: bytes | memoryview, count: int, name: str) -> Array:
    """The `count` strings in `data`, as a flat array of str.

    Raises:
        RequestError: 400, there are more or fewer, or one is not UTF-8.
    """
    view = memoryview(data)
    elements: list[bytes] = []
    start = 0
    while start < len(view) and len(elements) <= count:
        end = start + _PREFIX + int.from_bytes(view[start : start + _PREFIX], "little")
        if start + _PREFIX > len(view) or end > len(view):
            raise RequestError(400, f"input '{name}': a BYTES element ends behind the data")
        elements.append(bytes(view[start + _PREFIX : end]))
        start = end
    if len(elements) != count or start != len(view):
        raise RequestError(
            400, f"input '{name}': the data does not hold the {count} BYTES elements of the shape"
        )
    return strings(elements, name)


def strings(elements: list[bytes], name: str) -> Array:
    """Array of str from UTF-8.

    Raises:
        RequestError: 400, an element is not UTF-8, which is what engines take.
    """
    array = np.empty(len(elements), object)
    try:
        array[:] = [element.decode() for element in elements]
    except UnicodeDecodeError as error:
        raise RequestError(400, f"input '{name}': a BYTES element is not UTF-8 text") from error
    return array


def as_bytes(array: Array) -> list[bytes]:
    """The elements in row-major order."""
    return [
        element if isinstance(element, bytes) else str(element).encode()
        for element in array.reshape(-1).tolist()
    ]


def encode_bytes(array: Array) -> bytes:
    """The elements of an array of str or bytes, each behind its length."""
    return b"".join(
        part for element in as_bytes(array) for part in (len(element).to_bytes(_PREFIX, "little"), element)
    )
