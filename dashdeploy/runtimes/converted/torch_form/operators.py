"""What each operator of ONNX is in torch; shapes and positions are constants, since all sizes are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.runtimes.converted.torch_form.layers import LAYERS
from dashdeploy.runtimes.converted.torch_form.node import Node
from dashdeploy.runtimes.converted.torch_form.row_views import row_views

Operator = Callable[[Node, Sequence[Any]], Any]
"""Takes the node and a tensor for each input (None for one that is left out), and gives one tensor or several."""

_MAX = np.iinfo(np.int64).max


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _node, inputs: function(inputs[0])


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda _node, inputs: function(inputs[0], inputs[1])


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def operator(_node: Node, inputs: Sequence[Any]) -> Tensor:
        result: Tensor = inputs[0]
        for each in inputs[1:]:
            result = function(result, each)
        return result

    return operator


def _divided(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _reduced(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def operator(node: Node, inputs: Sequence[Any]) -> Tensor:
        axes = node.integers("axes", 1)
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return inputs[0]  # type: ignore[no-any-return]
            axes = list(range(inputs[0].dim()))
        return function(inputs[0], axes, bool(node.get("keepdims", 1)))

    return operator


def _reshape(node: Node, inputs: Sequence[Any]) -> Tensor:
    wanted = node.integers("shape", 1) or []
    if not node.get("allowzero", 0):
        wanted = [inputs[0].shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return inputs[0].reshape(wanted)  # type: ignore[no-any-return]


def _flatten(node: Node, inputs: Sequence[Any]) -> Tensor:
    axis = node.get("axis", 1) % (inputs[0].dim() + 1)
    rows = int(np.prod(inputs[0].shape[:axis], dtype=np.int64))
    return inputs[0].reshape(rows, -1)  # type: ignore[no-any-return]


def _squeeze(node: Node, inputs: Sequence[Any]) -> Tensor:
    axes = node.integers("axes", 1)
    return inputs[0].squeeze() if axes is None else inputs[0].squeeze(tuple(axes))  # type: ignore[no-any-return]


def _unsqueeze(node: Node, inputs: Sequence[Any]) -> Tensor:
    x = inputs[0]
    axes = node.integers("axes", 1) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x  # type: ignore[no-any-return]


def _expand(node: Node, inputs: Sequence[Any]) -> Tensor:
    shape = node.integers("shape", 1) or []
    return inputs[0].expand(np.broadcast_shapes(tuple(inputs[0].shape), tuple(shape)))  # type: ignore[no-any-return]


def _slice(node: Node, inputs: Sequence[Any]) -> Tensor:
    x: Tensor = inputs[0]
    starts, ends = node.integers("starts", 1) or [], node.integers("ends", 2) or []
    axes = node.integers("axes", 3) or list(range(len(starts)))
    steps = node.integers("steps", 4) or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Python has the rules of ONNX for what is out of range; torch has no steps backwards.
        rows = range(*slice(start, end, step).indices(x.shape[axis]))
        if not rows:
            x = x.narrow(axis, 0, 0)
            continue
        lowest, highest = min(rows[0], rows[-1]), max(rows[0], rows[-1])
        x = x.narrow(axis, lowest, highest - lowest + 1)
        if abs(step) > 1:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(None, None, abs(step)),)]
        x = x.flip(axis) if step < 0 else x
    return x


def _split(node: Node, inputs: Sequence[Any]) -> list[Tensor]:
    axis = node.get("axis", 0)
    sizes = node.integers("split", 1)
    if sizes is None:
        each = -(-inputs[0].shape[axis] // node.outputs)
        return list(inputs[0].split(each, axis))
    return list(inputs[0].split(sizes, axis))


def _gather(node: Node, inputs: Sequence[Any]) -> Tensor:
    x, indices = inputs
    axis = node.get("axis", 0) % x.dim()
    constant = node.constants.get(1)
    if constant is not None:
        places = constant.astype(np.int64)
        places = np.where(places < 0, places + x.shape[axis], places)
        if axis == 0 and places.ndim == 1 and len(places) > 1 and x.dim() > 1 and 0 not in node.constants:
            views = row_views(places, x.shape[0])
            if views is not None:
                return views.of(x)  # type: ignore[no-any-return]
        if places.ndim == 0:
            return x.select(axis, int(places))  # type: ignore[no-any-return]
    flat = torch.where(indices < 0, indices + x.shape[axis], indices).reshape(-1)
    shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
    return x.index_select(axis, flat).reshape(shape)  # type: ignore[no-any-return]


def _pad(node: Node, inputs: Sequence[Any]) -> Tensor:
    x, mode = inputs[0], node.get("mode", b"constant").decode()
    if mode != "constant":
        raise node.refused(f"it pads by {mode}")
    pads = node.integers("pads", 1) or []
    axes = node.integers("axes", 3) or list(range(x.dim()))
    sides = {axis % x.dim(): (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    around = [side for axis in reversed(range(x.dim())) for side in sides.get(axis, (0, 0))]
    value = node.constant(2)
    filling = float(node.get("value", 0.0) if value is None or not value.size else value.reshape(-1)[0])
    return F.pad(x, around, value=filling)


def _clip(node: Node, inputs: Sequence[Any]) -> Tensor:
    bounds = [node.get("min"), node.get("max")]
    for position in (1, 2):
        if len(inputs) > position and inputs[position] is not None:
            constant = node.constant(position)
            bounds[position - 1] = None if constant is None else constant.reshape(-1)[0].item()
    low, high = bounds
    return inputs[0] if low is None and high is None else torch.clamp(inputs[0], low, high)


def _cast(node: Node, inputs: Sequence[Any]) -> Tensor:
    import onnx

    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.get("to")))
    return inputs[0].to(torch.from_numpy(np.zeros(1, dtype)).dtype)  # type: ignore[no-any-return]


def _constant(node: Node, _inputs: Sequence[Any]) -> Tensor:
    import onnx

    value = node.get("value")
    if value is not None:
        return torch.from_numpy(np.array(onnx.numpy_helper.to_array(value)))
    for kind, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        for name in (kind, f"{kind}s"):
            if node.get(name) is not None:
                return torch.from_numpy(np.array(node.get(name), dtype=dtype))
    raise node.refused("its value is not a tensor of numbers")


def _constant_of_shape(node: Node, _inputs: Sequence[Any]) -> Tensor:
    import onnx

    value = node.get("value")
    filling = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return torch.from_numpy(np.array(filling)).expand(node.integers("shape", 0) or []).clone()


def _softmax(function: Callable[..., Tensor]) -> Operator:
    return lambda node, inputs: function(inputs[0], node.get("axis", -1))


def _gelu(node: Node, inputs: Sequence[Any]) -> Tensor:
    return F.gelu(inputs[0], approximate=node.get("approximate", b"none").decode())


def _p_relu(_node: Node, inputs: Sequence[Any]) -> Tensor:
    return torch.where(inputs[0] < 0, inputs[0] * inputs[1], inputs[0])


OPERATORS: Mapping[str, Operator] = {
    **LAYERS,
    **{
        name: _unary(getattr(torch, name.lower()))
        for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log")
    },
    **{
        name: _unary(getattr(torch, name.lower()))
        for name in ("Neg", "Relu", "Sigmoid", "Sin", "Sqrt", "Tanh")
    },
    "Reciprocal": _unary(torch.reciprocal),
    "Softplus": _unary(F.softplus),
    "Selu": _unary(F.selu),
    "Mish": _unary(F.mish),
    "HardSwish": _unary(F.hardswish),
    "Identity": _unary(lambda x: x),
    "Dropout": _unary(lambda x: x),
    "Not": _unary(torch.logical_not),
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Div": _binary(_divided),
    "Pow": _binary(lambda a, b: torch.pow(a, b.to(a.dtype))),
    "MatMul": _binary(torch.matmul),
    "Equal": _binary(torch.eq),
    "Greater": _binary(torch.gt),
    "Less": _binary(torch.lt),
    "PRelu": _p_relu,
    "Min": _folded(torch.minimum),
    "Max": _folded(torch.maximum),
    "Sum": _folded(torch.add),
    "Where": lambda _node, inputs: torch.where(*inputs),
    "LeakyRelu": lambda node, inputs: F.leaky_relu(inputs[0], node.get("alpha", 0.01)),
    "Elu": lambda node, inputs: F.elu(inputs[0], node.get("alpha", 1.0)),
    "HardSigmoid": lambda node, inputs: torch.clamp(
        node.get("alpha", 0.2) * inputs[0] + node.get("beta", 0.5), 0, 1
    ),
    "Gelu": _gelu,
    "Clip": _clip,
    "Cast": _cast,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceSum": _reduced(lambda x, axes, keep: x.sum(axes, keep)),
    "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMin": _reduced(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceL2": _reduced(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "ReduceSumSquare": _reduced(lambda x, axes, keep: x.square().sum(axes, keep)),
    "Reshape": _reshape,
    "Transpose": lambda node, inputs: inputs[0].permute(node.get("perm", list(range(inputs[0].dim()))[::-1])),
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Concat": lambda node, inputs: torch.cat(list(inputs), node.get("axis")),
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
    "Tile": lambda node, inputs: inputs[0].repeat(node.integers("repeats", 1)),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Shape": lambda node, inputs: torch.tensor(
        list(inputs[0].shape)[node.get("start", 0) : node.get("end", _MAX)]
    ),
}
"""By type. A node of any other type is refused."""
