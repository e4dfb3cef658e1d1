"""Folds batch normalization into the convolution before it.

    scale * (conv(x, W) + b - mean) / sqrt(var + epsilon) + shift  =  conv(x, a W) + a (b - mean) + shift
    with a = scale / sqrt(var + epsilon) per output channel

Only where nothing else uses the convolution's output or its weight, and only in float32 and float64: in half
precision the folded weights would be rounded once more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.passes.constants import constant
from dashdeploy.export.passes.names import unused, value_names

_DEFAULT_EPSILON = 1e-5
FOLDED_TYPES = (ir.DataType.FLOAT, ir.DataType.DOUBLE)


def fold_batch_norms(graph: ir.Graph) -> int:
    """Fold every batch normalization that directly follows a convolution; returns how many."""
    folded, taken = 0, value_names(graph)
    for norm in graph:  # an onnx_ir graph may be changed while it is walked
        if _is(norm, "BatchNormalization") and _can_fold(norm):
            _fold(graph, norm, taken)
            folded += 1
    return folded


def _can_fold(norm: ir.Node) -> bool:
    training = norm.attributes.get("training_mode")
    if len(norm.outputs) != 1 or (training is not None and training.as_int() != 0):
        return False
    y = norm.inputs[0]
    conv = y.producer() if y is not None else None
    if y is None or conv is None or not _is(conv, "Conv") or conv.graph is not norm.graph:
        return False
    weight = conv.inputs[1]
    if weight is None or len(weight.uses()) != 1 or len(y.uses()) != 1 or y.is_graph_output():
        return False
    values = [weight, *norm.inputs[1:5], *_bias(conv)]
    tensors = [constant(value) for value in values]
    return all(tensor is not None and tensor.dtype in FOLDED_TYPES for tensor in tensors)


def _fold(graph: ir.Graph, norm: ir.Node, taken: set[str]) -> None:
    y = norm.inputs[0]
    assert y is not None
    conv = y.producer()
    assert conv is not None
    old = conv.inputs[1]
    assert old is not None
    weight = _array(old)
    scale, shift, mean, variance = (_array(value) for value in norm.inputs[1:5])
    epsilon = norm.attributes.get("epsilon")
    factor = scale / np.sqrt(variance + (_DEFAULT_EPSILON if epsilon is None else epsilon.as_float()))
    bias = _array(_bias(conv)[0]) if _bias(conv) else np.zeros_like(mean)
    dtype = old.dtype
    assert dtype is not None

    name, bias_name = str(old.name), unused(f"{old.name}.folded_bias", taken)
    if old.is_initializer():
        del graph.initializers[
            name
        ]  # this was its one use; its name, after which the layer is called, goes on
    else:
        name = unused(f"{name}.folded", taken)
    taken |= {name, bias_name}
    folded_weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    inputs = [
        conv.inputs[0],
        _initializer(graph, name, folded_weight, dtype),
        _initializer(graph, bias_name, factor * (bias - mean) + shift, dtype),
    ]
    output = norm.outputs[0]
    replacement = ir.Value()
    new = ir.Node("", "Conv", inputs, conv.attributes.values(), name=conv.name, outputs=[replacement])
    replacement.shape, replacement.type = output.shape, output.type
    graph.insert_before(norm, new)
    ir.convenience.replace_all_uses_with(output, replacement, replace_graph_outputs=True)
    replacement.name, output.name = output.name, None
    graph.remove([norm, conv], safe=True)


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


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in ("", "ai.onnx")
