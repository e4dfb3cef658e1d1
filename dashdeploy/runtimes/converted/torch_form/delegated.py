"""Forms that a delegate such as XNNPACK takes whole: slices in place of gathers, and batched products alone.

A delegate takes the operators that it has, and gives back to the portable ones what it does not: strided views and
gathers, products with a constant on the left, sums of axes. Each change of hands copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.runtimes.converted.torch_form.layers import convolution
from dashdeploy.runtimes.converted.torch_form.node import Node
from dashdeploy.runtimes.converted.torch_form.operators import OPERATORS, Operator
from dashdeploy.runtimes.converted.torch_form.row_views import RowViews, row_views


def has_slices(views: RowViews) -> bool:
    """Whether slices can give the rows: not where a step of zero reads a row again and again."""
    steps = [step for piece in views.pieces for step in piece.steps]
    return all(steps) and (views.step != 0 or views.repeats == 1)


def rows_by_slices(views: RowViews, x: Tensor) -> Tensor:
    """What `RowViews.of` gives, by slices, reshapes and concatenations.

    Args:
        views: which rows, if `has_slices`.
        x: [rows, ...].
    """
    rest = list(x.shape[1:])
    flat = x.reshape(x.shape[0], -1)  # XNNPACK's tensors have at most six axes
    parts = []
    for piece in views.pieces:
        axes = [
            (size, step)
            for size, step in zip((views.repeats, *piece.sizes), (views.step, *piece.steps), strict=True)
            if size > 1
        ]
        lowest = piece.lowest + min(0, views.step * (views.repeats - 1))
        part = _lattice(flat[lowest:], [size for size, _ in axes], [abs(step) for _, step in axes])
        backwards = [axis for axis, (_, step) in enumerate(axes) if step < 0]
        part = part.flip(backwards) if backwards else part
        parts.append(part.reshape([views.repeats, piece.count * flat.shape[1]]))
    rows = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    rows = rows.reshape([-1, *rest])
    return rows if rows.shape[0] == views.length else rows.narrow(0, 0, views.length)


def _lattice(x: Tensor, sizes: Sequence[int], steps: Sequence[int]) -> Tensor:
    """[*sizes, row] of x [rows, row], whose first row is the first one; no step is negative.

    From the longest step to the shortest: the rows are cut into blocks of a step, and what a window reads beyond its
    own block is put behind it.
    """
    order = sorted(range(len(sizes)), key=lambda axis: -steps[axis])
    for done, axis in enumerate(order):
        size, step = sizes[axis], steps[axis]
        span = 1 + sum((sizes[inner] - 1) * steps[inner] for inner in order[done + 1 :])
        overlap = ceil(span / step)
        rows = (size + overlap - 1) * step
        missing = rows - x.shape[done]
        if missing > 0:
            x = F.pad(x, [0, 0, 0, missing])
        elif missing < 0:
            x = x.narrow(done, 0, rows)
        blocks = x.reshape([*x.shape[:done], size + overlap - 1, step, x.shape[-1]])
        windows = [blocks.narrow(done, first, size) for first in range(overlap)]
        x = windows[0] if overlap == 1 else torch.cat(windows, done + 1)
        x = x if x.shape[done + 1] == span else x.narrow(done + 1, 0, span)
    x = x.reshape([*x.shape[:-2], x.shape[-1]])
    places = [order.index(axis) for axis in range(len(sizes))]
    return x if places == sorted(places) else x.permute([*places, len(places)])


def _gather(node: Node, inputs: Sequence[Any]) -> Any:  # noqa: ANN401 - as `Operator`
    x, places = inputs[0], node.constants.get(1)
    on_rows = node.get("axis", 0) % x.dim() == 0 and x.dim() > 1 and 0 not in node.constants
    if places is not None and on_rows and places.ndim == 1 and len(places) > 1:
        rows = places.astype(np.int64)
        views = row_views(np.where(rows < 0, rows + x.shape[0], rows), x.shape[0])
        if views is not None and has_slices(views):
            return rows_by_slices(views, x)
    return OPERATORS["Gather"](node, inputs)


def _matmul(_node: Node, inputs: Sequence[Any]) -> Tensor:
    a, b = inputs
    if a.dim() == b.dim() == 2:
        product = torch.bmm(a.reshape(1, *a.shape), b.reshape(1, *b.shape))
        return product.reshape(a.shape[0], b.shape[1])
    if a.dim() == b.dim() == 3 and a.shape[0] == b.shape[0]:
        return torch.bmm(a, b)
    return torch.matmul(a, b)


DELEGATED: Mapping[str, Operator] = {
    **OPERATORS,
    "Conv": lambda node, inputs: convolution(node, inputs, planes=False),
    "Gather": _gather,
    "MatMul": _matmul,
}
"""The operators in these forms."""
