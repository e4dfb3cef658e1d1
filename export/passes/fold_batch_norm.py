"""Folds batch normalization into the convolution before it.

scale * (conv(x, W) + b - mean) / sqrt(var + epsilon) + shift  =  conv(x, a W) + a (b - mean) + shift
with a = scale / sqrt(var + epsilon) per output channel
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.frontend.graph_values import UnusedNames, constant, is_operator
from dashdeploy.export.passes.base import NodePass, NoMatchError

PARAMETERS = slice(1, 5)
"""Scale, shift, mean and variance among a batch normalization's inputs."""

_DEFAULT_EPSILON = 1e-5
_FOLDED_TYPES = (ir.DataType.FLOAT, ir.DataType.DOUBLE)


class FoldBatchNorm(NodePass[ir.Node]):
    """BatchNormalization(Conv(x)) becomes one Conv with other weights, which keep their name.

    Needs: a normalization for inference with constant parameters; a convolution with constant weights in the same
    graph; nothing else uses the convolution's output or its weight. Only in float32 and float64: in half precision
    the folded weights would be rounded once more.
    """

    operator: ClassVar[str] = "BatchNormalization"

    def check(self, node: ir.Node) -> ir.Node:
        """The convolution before the normalization."""
        refuse_training(node)
        y = node.inputs[0]
        conv = y.producer() if y is not None else None
        if y is None or conv is None or not is_operator(conv, "Conv") or conv.graph is not node.graph:
            raise NoMatchError("no convolution stands before it")
        weight = conv.inputs[1]
        if weight is None or len(weight.uses()) != 1:
            raise NoMatchError("something else uses the convolution's weight")
        if len(y.uses()) != 1 or y.is_graph_output():
            raise NoMatchError("something else reads the convolution's output")
        if not all(map(is_foldable, [weight, *node.inputs[PARAMETERS], *_bias(conv)])):
            raise NoMatchError("weights or parameters are not constants in float32 or float64")
        return conv

    def replace(self, graph: ir.Graph, node: ir.Node, match: ir.Node, names: UnusedNames) -> None:
        """Write the convolution with the folded weight and bias."""
        conv, old = match, match.inputs[1]
        assert old is not None
        weight = _array(old)
        factor, shift = _factor_and_shift(node)
        bias = _array(_bias(conv)[0]) if _bias(conv) else np.zeros_like(shift)
        dtype = old.dtype
        assert dtype is not None

        name, bias_name = str(old.name), names.give(f"{old.name}.folded_bias")
        if old.is_initializer():
            # This was its one use; its name, after which the layer is called, goes on. It may lie in an outer graph.
            assert old.graph is not None
            del old.graph.initializers[name]
        else:
            name = names.give(f"{name}.folded")
        folded_weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        inputs = [
            conv.inputs[0],
            _initializer(graph, name, folded_weight, dtype),
            _initializer(graph, bias_name, factor * bias + shift, dtype),
        ]
        output = node.outputs[0]
        replacement = ir.Value()
        new = ir.Node("", "Conv", inputs, conv.attributes.values(), name=conv.name, outputs=[replacement])
        replacement.shape, replacement.type = output.shape, output.type
        graph.insert_before(node, new)
        ir.convenience.replace_all_uses_with(output, replacement, replace_graph_outputs=True)
        replacement.name, output.name = output.name, None
        graph.remove([node, conv], safe=True)


def norm_as_factor(norm: ir.Node) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | None:
    """The factor and the shift by channel that a normalization is, in its precision; None if it is something else."""
    try:
        refuse_training(norm)
    except NoMatchError:
        return None
    if not all(map(is_foldable, norm.inputs[PARAMETERS])):
        return None
    factor, shift = _factor_and_shift(norm)
    dtype = _dtype(norm.inputs[1])
    return factor.astype(dtype), shift.astype(dtype)


def _factor_and_shift(norm: ir.Node) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    scale, shift, mean, variance = (_array(value) for value in norm.inputs[PARAMETERS])
    epsilon = norm.attributes.get("epsilon")
    factor = scale / np.sqrt(variance + (_DEFAULT_EPSILON if epsilon is None else epsilon.as_float()))
    return factor, shift - factor * mean


def _dtype(value: ir.Value | None) -> np.dtype:
    tensor = constant(value)
    assert tensor is not None
    return tensor.dtype.numpy()


def refuse_training(norm: ir.Node) -> None:
    """Leave a batch normalization that computes the batch's own statistics.

    Raises:
        NoMatchError: it does.
    """
    training = norm.attributes.get("training_mode")
    if len(norm.outputs) != 1 or (training is not None and training.as_int() != 0):
        raise NoMatchError("it is in training mode")


def is_foldable(value: ir.Value | None) -> bool:
    """Whether it is a constant of a type that is folded."""
    tensor = constant(value)
    return tensor is not None and tensor.dtype in _FOLDED_TYPES


def _array(value: ir.Value | None) -> npt.NDArray[np.float64]:
    tensor = constant(value)
    assert tensor is not None
    return tensor.numpy().astype(np.float64)


def _initializer(graph: ir.Graph, name: str, array: npt.NDArray[np.float64], dtype: ir.DataType) -> ir.Value:
    tensor = ir.Tensor(array.astype(dtype.numpy()), name=name)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _bias(conv: ir.Node) -> list[ir.Value]:
    return [value for value in conv.inputs[2:3] if value is not None]
