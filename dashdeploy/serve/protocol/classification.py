"""Triton's classification extension: an output's highest values, each as ``value:index:label``.

Source: Triton, "Classification Extension".
"""

from __future__ import annotations

import numpy as np

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.errors import RequestError


def classify(name: str, array: Array, classes: int, labels: list[str], *, batched: bool) -> Array:
    """The `classes` highest values of an output, the highest first.

    Args:
        name: the output's name, for the message.
        array: the output; of shape [batch, ...] if `batched`.
        classes: how many; fewer if the output has fewer.
        labels: class names by index; used if there is one per value, else ``value:index`` is sent.
        batched: whether the first axis is a batch axis; without one the whole array is one set of classes.

    Returns:
        Array of bytes objects, of shape [batch, classes] or [classes].

    Raises:
        RequestError: 400, the output does not hold numbers.
    """
    if array.dtype.kind not in "fiu":
        raise RequestError(400, f"output '{name}': classification needs numbers, not {array.dtype.name}")
    rows = array.reshape(array.shape[0], -1) if batched and array.ndim else array.reshape(1, -1)
    # Ascending and reversed puts NaN first, so it is made the lowest; equal values keep their order.
    keys = -np.nan_to_num(rows.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    order = np.argsort(keys, axis=1, kind="stable")[:, :classes]
    named = len(labels) == rows.shape[1]
    found = np.empty(order.shape, object)
    for row, indices in enumerate(order):
        for place, index in enumerate(indices):
            label = f":{labels[index]}" if named else ""
            found[row, place] = f"{float(rows[row, index]):f}:{index}{label}".encode()
    return found if batched and array.ndim else found[0]
