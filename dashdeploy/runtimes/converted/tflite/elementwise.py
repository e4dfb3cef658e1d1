"""ONNX operators on each number alone, on pairs of numbers, and norms, as LiteRT's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from dashdeploy.errors import InputError
from dashdeploy.runtimes.converted.tflite.flatbuffer import Array
from dashdeploy.runtimes.converted.tflite.graph import Graph, Value

Attributes = Mapping[str, Any]
Handler = Callable[[Graph, Attributes, Sequence[str], str], Value]
"""Writes a node of one output: of the graph, the node's attributes, its inputs and its output's name."""


def needed_constant(graph: Graph, name: str, output: str) -> Array:
    """A constant that an operator must have.

    Raises:
        InputError: it is computed.
    """
    found = graph.constant(name)
    if found is None:
        raise InputError(f"LiteRT: what {output} is made by depends on a number that is computed, {name}")
    return found


def _unary(code: str, graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    return Value(graph.moves.unary(code, x.tensor), x.shape, x.axes)


def _combining(
    code: str, graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str
) -> Value:
    """An operator on two values, or on any number of them one after the other."""

    def both(first: Value, second: Value) -> Value:
        return combined(graph, code, first, second, np.broadcast_shapes(first.shape, second.shape))

    return reduce(both, [graph.value(name) for name in inputs])


def combined(graph: Graph, code: str, first: Value, second: Value, shape: Sequence[int]) -> Value:
    """An operator on pairs of numbers, with broadcasting; the larger value keeps its layout."""
    rank = len(shape)
    pair = [
        value if value.rank == rank else graph.reshaped(value, (1,) * (rank - value.rank) + value.shape)
        for value in (first, second)
    ]
    # A layout without one of the axes cannot say how the other value lies along it: all have every axis.
    leading = max(pair, key=lambda value: (np.prod(value.shape), value is pair[0]))
    tensors = [graph.arranged(value, leading.axes).tensor for value in pair]
    return graph.op(code, tensors, leading, tuple(shape))


def scalar(graph: Graph, number: float, rank: int) -> Value:
    """A constant for all numbers of a value of so many axes."""
    return Value(
        graph.writer.constant(np.full((1,) * rank, number, np.float32)), (1,) * rank, tuple(range(rank))
    )


def _clip(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    bounds: list[Any] = [attributes.get("min"), attributes.get("max")]
    for place, name in enumerate(inputs[1:3]):
        if name:
            bounds[place] = graph.constant(name)
    for bound, code in zip(bounds, ("MAXIMUM", "MINIMUM"), strict=True):
        if bound is not None:
            x = combined(graph, code, x, scalar(graph, float(bound), x.rank), x.shape)
    return x


def _leaky_relu(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    return graph.op("LEAKY_RELU", (x.tensor,), x, x.shape, alpha=float(attributes.get("alpha", 0.01)))


def _gelu(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    return graph.op(
        "GELU", (x.tensor,), x, x.shape, approximate=attributes.get("approximate", b"none") == b"tanh"
    )


def _softmax(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    x = graph.last(x, int(attributes.get("axis", -1)) % x.rank)
    return graph.op("SOFTMAX", (x.tensor,), x, x.shape, beta=1.0)


def _mean(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    total = _combining("ADD", graph, attributes, inputs, output)
    return combined(graph, "MUL", total, scalar(graph, 1 / len(inputs), total.rank), total.shape)


class _Numbers:
    """Writes formulas of one value."""

    def __init__(self, graph: Graph, value: Value) -> None:
        self._graph, self._value = graph, value

    def unary(self, code: str, value: Value) -> Value:
        return self._graph.op(code, (value.tensor,), value, value.shape)

    def with_number(self, code: str, value: Value, number: float) -> Value:
        return combined(self._graph, code, value, scalar(self._graph, number, value.rank), value.shape)

    def pair(self, code: str, first: Value, second: Value) -> Value:
        return combined(self._graph, code, first, second, self._value.shape)


_ERF = 0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: the error is at most 1.5e-7."""


def _erf(graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    """1 - (a1 t + .. + a5 t^5) exp(-x^2) with t = 1 / (1 + p |x|), and the sign of x: LiteRT has no such operator."""
    x = graph.value(inputs[0])
    write = _Numbers(graph, x)
    p, factors = _ERF
    ones = scalar(graph, 1.0, x.rank)
    t = write.pair(
        "DIV", ones, write.with_number("ADD", write.with_number("MUL", write.unary("ABS", x), p), 1.0)
    )
    series = write.with_number("MUL", t, factors[-1])
    for factor in factors[-2::-1]:
        series = write.pair("MUL", write.with_number("ADD", series, factor), t)
    decay = write.unary("EXP", write.unary("NEG", write.pair("MUL", x, x)))
    size = write.pair("SUB", ones, write.pair("MUL", series, decay))
    return write.pair("MUL", size, write.unary("SIGN", x))


def _softplus(graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    """max(x, 0) + log(1 + exp(-|x|)), which does not overflow."""
    x = graph.value(inputs[0])
    write = _Numbers(graph, x)
    decay = write.unary("EXP", write.unary("NEG", write.unary("ABS", x)))
    return write.pair("ADD", write.unary("RELU", x), write.unary("LOG", write.with_number("ADD", decay, 1.0)))


def _elu(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    """Elu, and Selu with its factors: gamma (max(x, 0) + alpha (exp(min(x, 0)) - 1))."""
    x = graph.value(inputs[0])
    write = _Numbers(graph, x)
    alpha, gamma = float(attributes.get("alpha", 1.0)), float(attributes.get("gamma", 1.0))
    below = write.with_number("SUB", write.unary("EXP", write.with_number("MINIMUM", x, 0.0)), 1.0)
    total = write.pair("ADD", write.unary("RELU", x), write.with_number("MUL", below, alpha))
    return write.with_number("MUL", total, gamma)


def _selu(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    defaults = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}
    return _elu(graph, {**defaults, **attributes}, inputs, output)


def _prelu(graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    write = _Numbers(graph, x)
    below = write.pair("MUL", write.with_number("MINIMUM", x, 0.0), graph.value(inputs[1]))
    return write.pair("ADD", write.unary("RELU", x), below)


def _hard_sigmoid(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    write = _Numbers(graph, x)
    line = write.with_number("MUL", x, float(attributes.get("alpha", 0.2)))
    line = write.with_number("ADD", line, float(attributes.get("beta", 0.5)))
    return write.with_number("MINIMUM", write.unary("RELU", line), 1.0)


def _reciprocal(graph: Graph, _attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    return _Numbers(graph, x).pair("DIV", scalar(graph, 1.0, x.rank), x)


def reduced(graph: Graph, code: str, x: Value, chosen: set[int], shape: Sequence[int]) -> Value:
    """A reduction over `chosen`, with the axes kept as 1 in the tensor, and without them where `shape` lacks them."""
    kept = tuple(1 if axis in chosen else size for axis, size in enumerate(x.shape))
    places = graph.writer.integers([place for place, axis in enumerate(x.axes) if axis in chosen])
    result = graph.op(code, (x.tensor, places), x, kept, keepDims=True)
    return result if kept == tuple(shape) else graph.reshaped(result, shape)


def _normalized(graph: Graph, x: Value, axes: set[int], epsilon: float) -> Value:
    """Mean 0 and variance 1 over the axes."""
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    centered = combined(graph, "SUB", x, reduced(graph, "MEAN", x, axes, kept), x.shape)
    squares = graph.op("MUL", (centered.tensor, centered.tensor), centered, x.shape)
    variance = reduced(graph, "MEAN", squares, axes, kept)
    spread = combined(graph, "ADD", variance, scalar(graph, epsilon, x.rank), kept)
    return combined(graph, "MUL", centered, graph.op("RSQRT", (spread.tensor,), spread, kept), x.shape)


def _layer_norm(graph: Graph, attributes: Attributes, inputs: Sequence[str], _output: str) -> Value:
    x = graph.value(inputs[0])
    axes = set(range(int(attributes.get("axis", -1)) % x.rank, x.rank))
    x = _normalized(graph, x, axes, float(attributes.get("epsilon", 1e-5)))
    for name, code in zip(inputs[1:3], ("MUL", "ADD"), strict=False):
        if name:
            x = combined(graph, code, x, graph.value(name), x.shape)
    return x


def _instance_norm(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x = graph.value(inputs[0])
    scale, shift = (needed_constant(graph, name, output) for name in inputs[1:3])
    x = _normalized(graph, x, set(range(2, x.rank)), float(attributes.get("epsilon", 1e-5)))
    return _by_channel(graph, x, scale, shift)


def _batch_norm(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    x = graph.value(inputs[0])
    scale, shift, mean, variance = (needed_constant(graph, name, output) for name in inputs[1:5])
    factor = scale / np.sqrt(variance + np.float32(attributes.get("epsilon", 1e-5)))
    return _by_channel(graph, x, factor, shift - mean * factor)


def _by_channel(graph: Graph, x: Value, scale: Array, shift: Array) -> Value:
    """Each channel times its factor, and its summand added."""
    for table, code in ((scale, "MUL"), (shift, "ADD")):
        shaped = table.astype(np.float32).reshape(1, -1, *[1] * (x.rank - 2))
        constant = Value(graph.writer.constant(shaped), shaped.shape, tuple(range(x.rank)))
        x = combined(graph, code, x, constant, x.shape)
    return x


_UNARY = {
    "Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT",
    "Neg": "NEG", "Abs": "ABS", "Floor": "FLOOR", "Ceil": "CEIL", "HardSwish": "HARD_SWISH", "Sin": "SIN",
    "Cos": "COS", "Sign": "SIGN",
}  # fmt: skip
_COMBINING = {
    "Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Pow": "POW", "Max": "MAXIMUM", "Min": "MINIMUM",
    "Sum": "ADD",
}  # fmt: skip

ELEMENTWISE: Mapping[str, Handler] = {
    **{name: partial(_unary, code) for name, code in _UNARY.items()},
    **{name: partial(_combining, code) for name, code in _COMBINING.items()},
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Elu": _elu,
    "Erf": _erf,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "Mean": _mean,
    "PRelu": _prelu,
    "Reciprocal": _reciprocal,
    "Selu": _selu,
    "Softmax": _softmax,
    "Softplus": _softplus,
}
