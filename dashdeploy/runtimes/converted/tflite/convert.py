"""Converts a serialized ONNX model to a file of LiteRT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dashdeploy.errors import InputError, first_line
from dashdeploy.runtimes.converted.onnx_interface import interface, with_fixed_batch
from dashdeploy.runtimes.converted.tflite.flatbuffer import Array, Shape
from dashdeploy.runtimes.converted.tflite.graph import Graph, Value
from dashdeploy.runtimes.converted.tflite.operators import HANDLERS, split

_LEAST_OPSET = 13
"""Before that, Softmax flattens its axes, and axes and pads are attributes."""


def convert(model: bytes, batch: int) -> bytes:
    """The content of a ``.tflite`` file for calls of `batch` samples, in float32.

    What depends on constants alone is computed here, and stored.

    Args:
        model: a serialized ONNX model.
        batch: what the dynamic first axis of its inputs becomes.

    Raises:
        InputError: an operator has no form in LiteRT, an axis other than the batch is dynamic, or the opset is old.
    """
    import onnx
    from onnx import numpy_helper

    fixed = with_fixed_batch(model, batch)
    proto = onnx.load_from_string(fixed)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    graph = Graph(_shapes(proto.graph), constants)
    opsets = {each.domain: each.version for each in proto.opset_import}
    if opsets.get("", _LEAST_OPSET) < _LEAST_OPSET:
        raise InputError(
            f"LiteRT: the model has opset {opsets['']}, and operators meant something else before {_LEAST_OPSET}; "
            "convert it with onnx.version_converter, or choose another `target`"
        )
    given = {}
    for spec in interface(fixed)[0]:
        shape = graph.shape(spec.name)
        given[spec.name] = graph.writer.tensor(shape, spec.dtype)
        graph.store(spec.name, Value(given[spec.name], shape, tuple(range(len(shape)))))
    for node in proto.graph.node:
        if all(name in constants or not name for name in node.input) and not node.op_type.startswith(
            "Random"
        ):
            constants.update(zip(node.output, _computed(node, constants, opsets), strict=True))
        else:
            _write(graph, node)
    results: dict[str, int] = {}
    for value in proto.graph.output:
        tensor = graph.plain(graph.value(value.name)).tensor
        if value.name in constants:
            tensor = graph.writer.copied(tensor)
        while tensor in (*given.values(), *results.values()):
            tensor = graph.writer.copied(tensor)
        results[value.name] = tensor
    return graph.writer.content(given, results)


def _shapes(graph: Any) -> dict[str, Shape]:  # noqa: ANN401 - a message of onnx
    shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        axes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(axis.HasField("dim_value") for axis in axes):
            shapes[value.name] = tuple(axis.dim_value for axis in axes)
    return shapes


def _computed(node: Any, constants: Mapping[str, Array], opsets: Mapping[str, int]) -> list[Array]:  # noqa: ANN401
    """What a node gives that depends on constants alone."""
    from onnx.reference import ReferenceEvaluator

    feeds = {name: constants[name] for name in node.input if name}
    try:
        return [np.asarray(each) for each in ReferenceEvaluator(node, opsets=dict(opsets)).run(None, feeds)]
    except Exception as error:  # onnx raises what it likes for a node that it does not know
        raise InputError(
            f"LiteRT: cannot compute the constant {node.output[0]}: {first_line(error)}"
        ) from error


def _write(graph: Graph, node: Any) -> None:  # noqa: ANN401
    import onnx

    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Split":
        for name, value in zip(node.output, split(graph, attributes, node.input, node.output), strict=True):
            graph.store(name, value)
        return
    handler = HANDLERS.get(node.op_type)
    if handler is None or node.domain not in ("", "ai.onnx") or len([*filter(None, node.output)]) > 1:
        raise InputError(
            f"LiteRT has no form of {node.op_type} here ({node.name or node.output[0]}); choose another `target`"
        )
    try:
        value = handler(graph, attributes, [*node.input], node.output[0])
    except (LookupError, TypeError, ValueError) as error:  # a node that is not as ONNX describes it
        raise InputError(
            f"LiteRT: cannot write {node.op_type} ({node.name or node.output[0]}): {first_line(error)}"
        ) from error
    graph.store(node.output[0], value)
