"""The ranges of a model's activations on samples, a few tensors and samples at a time.

ONNX Runtime's own calibrator reads the extremes of every tensor at the end of a run, for which it keeps all of them:
750 MB for one sample of SpliceAI. Here tensors become outputs in groups of bounded size, and the model runs once for
each group.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from math import prod

import numpy as np
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import constant
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Range = tuple[float, float]

_MOST_BYTES = 2**24
"""Of a group's tensors for a batch of one, as far as their sizes are known."""

_MOST_TENSORS = 64


def activation_ranges(
    model: ir.Model,
    nodes: Collection[ir.Node],
    batches: Callable[[], Iterator[Mapping[str, Array]]],
) -> dict[str, Range]:
    """The least and the largest number of each tensor that some nodes read or write.

    Args:
        model: in float32.
        nodes: of its main graph.
        batches: gives the samples, each time anew.
    """
    tensors = {
        str(value.name): value
        for node in nodes
        for value in (*node.inputs, *node.outputs)
        if value is not None and value.dtype == ir.DataType.FLOAT and constant(value) is None
    }
    ranges: dict[str, Range] = {}
    for group in _groups(list(tensors.values())):
        runtime = OnnxRuntime(serialized(_with_outputs(model, group)), arena="none")
        for feeds in batches():
            for name, values in {**feeds, **runtime.run(feeds)}.items():
                if name in group:
                    low, high = ranges.get(name, (np.inf, -np.inf))
                    ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges


def _groups(tensors: list[ir.Value]) -> Iterator[set[str]]:
    group: set[str] = set()
    total = 0
    for value in tensors:
        axes = [] if value.shape is None else [axis if isinstance(axis, int) else 1 for axis in value.shape]
        size = 4 * prod(axes)
        if group and (total + size > _MOST_BYTES or len(group) == _MOST_TENSORS):
            yield group
            group, total = set(), 0
        group.add(str(value.name))
        total += size
    if group:
        yield group


def _with_outputs(model: ir.Model, names: Collection[str]) -> ir.Model:
    """A copy of a model that gives these values instead of its own outputs."""
    copy = model.clone()
    values = {str(value.name): value for node in copy.graph for value in node.outputs}
    found = [values[name] for name in names if name in values]
    if found:
        copy.graph.outputs[:] = sorted(found, key=lambda value: str(value.name))
    return copy
