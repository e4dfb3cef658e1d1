"""What a serialized ONNX model says of its inputs and outputs, and the same model with a fixed batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError


def interface(model: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs of a serialized ONNX model."""
    import onnx

    graph = onnx.load_from_string(model).graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    return _specs(inputs), _specs(graph.output)


def with_fixed_batch(model: bytes, batch: int) -> bytes:
    """The model for calls of `batch` samples, without what it says of shapes inside: that was of any batch.

    Args:
        model: a serialized ONNX model; a fixed batch stays as it is.
        batch: what the dynamic first axis of its inputs becomes.

    Raises:
        InputError: another axis is dynamic, too.
    """
    import onnx

    proto = onnx.load_from_string(model)
    graph = proto.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    names = {_axes(value)[0].dim_param for value in inputs if _axes(value)} - {""}
    for value in inputs:
        for position, axis in enumerate(_axes(value)):
            if axis.HasField("dim_value"):
                continue
            if position == 0 or axis.dim_param in names:
                axis.dim_value = batch
            else:
                raise InputError(
                    f"input {value.name} has a dynamic axis {position} that is not the batch, and this engine needs "
                    "every size; fix it with `input_shapes`"
                )
    for value in graph.output:
        for axis in _axes(value):
            if axis.dim_param in names:
                axis.dim_value = batch
    del graph.value_info[:]
    return bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


def _axes(value: Any) -> Any:  # noqa: ANN401 - a message of onnx
    return value.type.tensor_type.shape.dim


def _specs(values: Iterable[Any]) -> tuple[TensorSpec, ...]:
    import onnx

    return tuple(
        TensorSpec(
            name=value.name,
            shape=tuple(
                axis.dim_value if axis.HasField("dim_value") else axis.dim_param or f"{value.name}_axis_{i}"
                for i, axis in enumerate(_axes(value))
            ),
            dtype=np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name,
        )
        for value in values
    )
