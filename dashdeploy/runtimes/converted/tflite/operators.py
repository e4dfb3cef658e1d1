"""ONNX operators as LiteRT's: moves, products and reductions here, others in `elementwise` and `convolutions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from dashdeploy.errors import InputError
from dashdeploy.runtimes.converted.tflite.convolutions import convolution, pool, transposed_convolution
from dashdeploy.runtimes.converted.tflite.elementwise import (
    ELEMENTWISE,
    Attributes,
    Handler,
    needed_constant,
    reduced,
)
from dashdeploy.runtimes.converted.tflite.flatbuffer import Array
from dashdeploy.runtimes.converted.tflite.graph import Graph, Value


def _identity(graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    return graph.value(inputs[0])


def _transpose(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    perm = [*attributes.get("perm", range(x.rank)[::-1])]
    axes = tuple(None if axis is None else perm.index(axis) for axis in x.axes)
    return Value(x.tensor, tuple(x.shape[axis] for axis in perm), axes)


def _reshape(graph: Graph, _attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    return graph.reshaped(graph.value(inputs[0]), graph.shape(output))


def _expand(graph: Graph, _attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x, shape = graph.value(inputs[0]), graph.shape(output)
    x = graph.reshaped(x, (1,) * (len(shape) - x.rank) + x.shape)
    if x.shape == shape:
        return x
    return graph.op("BROADCAST_TO", (x.tensor, graph.writer.integers(shape)), x, shape)


def _pad(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x = graph.value(inputs[0])
    mode = attributes.get("mode", b"constant").decode()
    given = needed_constant(graph, inputs[1], output).reshape(2, -1)
    axes = [*range(x.rank)]
    if len(inputs) > 3 and inputs[3]:
        axes = [int(axis) % x.rank for axis in needed_constant(graph, inputs[3], output)]
    fill = graph.constant(inputs[2]) if len(inputs) > 2 and inputs[2] else None
    pads = np.zeros((2, x.rank), np.int64)
    pads[:, axes] = given
    if mode not in ("constant", "reflect"):
        raise InputError(f"LiteRT: {output} is padded by `{mode}`; choose another `target`")
    cut = np.maximum(-pads, 0)
    x = graph.cut(x, cut[0], [n - a for n, a in zip(x.shape, cut[1], strict=True)])
    pads = np.maximum(pads, 0)
    if not pads.any():
        return x
    laid_out = np.asarray([x.laid_out(side.tolist(), 0) for side in pads], np.int32).T
    shape = tuple(int(n) for n in np.asarray(x.shape) + pads.sum(0))
    if mode == "constant" and (fill is None or not fill.any()):
        return Value(graph.moves.pad(x.tensor, laid_out), shape, x.axes)
    table = graph.writer.constant(laid_out)
    if mode == "reflect":
        return graph.op("MIRROR_PAD", (x.tensor, table), x, shape, mode=0)
    assert fill is not None
    number = graph.writer.constant(np.full(1, float(fill.reshape(-1)[0]), np.float32))
    return graph.op("PADV2", (x.tensor, table, number), x, shape)


def _slice(graph: Graph, _attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x = graph.value(inputs[0])
    given = [needed_constant(graph, name, output).reshape(-1) for name in inputs[1:] if name]
    axes = given[2] if len(given) > 2 else range(len(given[0]))
    steps = given[3] if len(given) > 3 else [1] * len(given[0])
    begin, end = [0] * x.rank, [*x.shape]
    for first, last, axis, step in zip(given[0], given[1], axes, steps, strict=True):
        place = int(axis) % x.rank
        if step != 1:
            places = np.arange(x.shape[place])[int(first) : int(last) : int(step)]
            x = _rows(graph, x, place, places)
            begin[place], end[place] = 0, len(places)
        else:
            begin[place], end[place], _ = slice(int(first), int(last)).indices(x.shape[place])
    return graph.cut(x, begin, end)


def _rows(graph: Graph, x: Value, axis: int, rows: Array) -> Value:
    """What lies at `rows` along an axis: a slice where they follow each other."""
    shape = tuple(len(rows) if place == axis else size for place, size in enumerate(x.shape))
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        begin = [int(rows[0]) if place == axis else 0 for place in range(x.rank)]
        return graph.cut(x, begin, [b + n for b, n in zip(begin, shape, strict=True)])
    return Value(graph.moves.gather(x.tensor, x.axes.index(axis), rows), shape, x.axes)


def _gather(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x, index = graph.value(inputs[0]), graph.constant(inputs[1])
    axis = int(attributes.get("axis", 0)) % x.rank
    if index is not None and index.ndim == 1:
        return _rows(graph, x, axis, index % x.shape[axis])
    if index is not None and index.ndim == 0:
        return graph.reshaped(_rows(graph, x, axis, index.reshape(1) % x.shape[axis]), graph.shape(output))
    x, places, shape = graph.plain(x), graph.plain(graph.value(inputs[1])), graph.shape(output)
    like = Value(-1, shape, tuple(range(len(shape))))
    return graph.op("GATHER", (x.tensor, places.tensor), like, shape, axis=axis)


def split(graph: Graph, attributes: Attributes, inputs: Sequence[str], outputs: Sequence[str]) -> list[Value]:
    """Split: a slice for each output."""
    x = graph.value(inputs[0])
    axis, pieces, start = int(attributes.get("axis", 0)) % x.rank, [], 0
    for name in outputs:
        size = graph.shape(name)[axis]
        pieces.append(_rows(graph, x, axis, np.arange(start, start + size)))
        start += size
    return pieces


def _concat(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    values = [graph.value(name) for name in inputs]
    leading = max(values, key=lambda value: np.prod(value.shape))
    axis = leading.axes.index(int(attributes["axis"]) % leading.rank)
    tensors = [graph.arranged(value, leading.axes).tensor for value in values]
    return graph.op("CONCATENATION", tensors, leading, graph.shape(output), axis=axis)


def _matmul(graph: Graph, _attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x, table, shape = graph.value(inputs[0]), graph.constant(inputs[1]), graph.shape(output)
    if table is not None and table.ndim == 2 and x.rank > 1:
        return _fully_connected(graph, x, table.T, None, shape)
    pair = [graph.plain(graph.value(name)) for name in inputs]
    like = Value(-1, shape, tuple(range(len(shape))))
    if min(value.rank for value in pair) < 2:
        raise InputError(f"LiteRT: the product {output} has a vector; choose another `target`")
    return graph.op("BATCH_MATMUL", [value.tensor for value in pair], like, shape, adjX=False, adjY=False)


def _fully_connected(
    graph: Graph, x: Value, weight: Array, bias: Array | None, shape: Sequence[int]
) -> Value:
    x = graph.last(x, x.rank - 1)
    inputs = [x.tensor, graph.writer.constant(weight)]
    if bias is not None:
        inputs.append(graph.writer.constant(bias))
    return graph.op("FULLY_CONNECTED", inputs, x, tuple(shape), keepNumDims=True)


def _gemm(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x, table = graph.value(inputs[0]), needed_constant(graph, inputs[1], output)
    weight = table if attributes.get("transB", 0) else table.T
    bias = (
        needed_constant(graph, inputs[2], output)
        if len(inputs) > 2 and inputs[2]
        else np.zeros(1, np.float32)
    )
    if attributes.get("transA", 0) or (bias.ndim == 2 and bias.shape[0] > 1):
        raise InputError(
            f"LiteRT: the product {output} is transposed, or adds a matrix; choose another `target`"
        )
    bias = np.broadcast_to(bias.reshape(-1), weight.shape[:1]) * np.float32(attributes.get("beta", 1.0))
    weight = weight * np.float32(attributes.get("alpha", 1.0))
    return _fully_connected(graph, x, weight, bias, graph.shape(output))


def _reduce(code: str, graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x = graph.value(inputs[0])
    axes = attributes.get("axes")
    if len(inputs) > 1 and inputs[1]:
        axes = needed_constant(graph, inputs[1], output).tolist()
    if not axes and attributes.get("noop_with_empty_axes", 0):
        return x
    chosen = {int(axis) % x.rank for axis in (axes or range(x.rank))}
    return reduced(graph, code, x, chosen, graph.shape(output))


def _global_pool(
    code: str, graph: Graph, _attributes: Attributes, inputs: Sequence[str], output: str
) -> Value:
    x = graph.value(inputs[0])
    return reduced(graph, code, x, set(range(2, x.rank)), graph.shape(output))


_REDUCTIONS = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}

HANDLERS: Mapping[str, Handler] = {
    **ELEMENTWISE,
    **{name: partial(_reduce, code) for name, code in _REDUCTIONS.items()},
    "AveragePool": lambda graph, *rest: pool(graph, "AveragePool", *rest),
    "MaxPool": lambda graph, *rest: pool(graph, "MaxPool", *rest),
    "GlobalAveragePool": partial(_global_pool, "MEAN"),
    "GlobalMaxPool": partial(_global_pool, "REDUCE_MAX"),
    "Concat": _concat,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Dropout": _identity,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _identity,
    "MatMul": _matmul,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
