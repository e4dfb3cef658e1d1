"""Inference requests and responses as gRPC messages.

Source: Open Inference Protocol, "GRPC". Inputs come as raw bytes or as typed contents; as in Triton, outputs
always go as raw bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.bytes_tensors import strings
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.inference_request import (
    InferRequest,
    OutputRequest,
    check_inputs,
    class_count,
    timeout_seconds,
)
from dashdeploy.serve.protocol.sequences import InterfaceOf, ModelInterface, sequence_control
from dashdeploy.serve.protocol.tensor_data import check_datatype, check_shape, datatype_of, from_raw, to_raw

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The typed contents of each datatype; FP16 has none and comes raw."""


def decode_message(
    message: Any,  # noqa: ANN401 - generated classes have no types
    *,
    inputs: Mapping[str, TensorSpec],
    outputs: Mapping[str, TensorSpec],
    limit: int,
    sequences: InterfaceOf | None = None,
) -> InferRequest:
    """Check a ModelInferRequest against the model.

    Args:
        message: the request.
        inputs: the model's inputs by name.
        outputs: the model's outputs by name.
        limit: the most bytes of a tensor.
        sequences: as in `json_codec.decode_request`.

    Raises:
        RequestError: 400 for anything that does not fit the model, 413 for a tensor beyond the limit.
    """
    model = message.model_name
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise RequestError(
            400, f"expected {len(message.inputs)} raw input contents for model '{model}', got {len(raw)}"
        )
    interface, control = ModelInterface(model, inputs, outputs, {}), None
    if sequences is not None:
        control = sequence_control(
            {name: parameter(message.parameters, name) for name in message.parameters}, model
        )
        interface = interface if control is None else sequences(control)
    asked = interface.of_a_request(control)
    feeds: dict[str, Array] = {}
    for index, tensor in enumerate(message.inputs):
        spec = asked.inputs.get(tensor.name)
        if spec is None:
            raise interface.refuse_input(tensor.name, control)
        if tensor.name in feeds:
            raise RequestError(400, f"input '{tensor.name}' already exists in request")
        if "shared_memory_region" in tensor.parameters:
            raise RequestError(400, f"input '{tensor.name}': shared memory is not supported")
        check_datatype(tensor.datatype, spec)
        shape = check_shape(tensor.shape, spec, limit=limit)
        if raw and tensor.HasField("contents"):
            raise RequestError(400, f"input '{tensor.name}' has both contents and raw input contents")
        feeds[tensor.name] = (
            from_raw(raw[index], spec, shape) if raw else _from_contents(tensor.contents, spec, shape)
        )
    check_inputs(feeds, asked.inputs, model)
    requested: dict[str, OutputRequest] = {}
    for output in message.outputs:
        if output.name not in interface.outputs:
            raise RequestError(400, f"unexpected inference output '{output.name}' for model '{model}'")
        if "shared_memory_region" in output.parameters:
            raise RequestError(400, f"output '{output.name}': shared memory is not supported")
        classes = 0
        if "classification" in output.parameters:
            classes = class_count(parameter(output.parameters, "classification"), output.name)
        requested[output.name] = OutputRequest(binary=True, classes=classes)
    return InferRequest(
        feeds,
        requested or dict.fromkeys(asked.outputs, OutputRequest(binary=True)),
        message.id,
        timeout_seconds(parameter(message.parameters, "timeout")),
        control,
    )


def encode_message(
    response: Any,  # noqa: ANN401 - as above
    request: InferRequest,
    results: Mapping[str, Array],
    *,
    model: str,
    version: str,
) -> None:
    """Fill a ModelInferResponse.

    Args:
        response: the empty message.
        request: the decoded request.
        results: an array per requested output, in order.
        model: the model's name.
        version: the version that ran.
    """
    response.model_name = model
    response.model_version = version
    response.id = request.id
    for name, array in results.items():
        response.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        response.raw_output_contents.append(bytes(to_raw(array)))


def parameter(parameters: Any, name: str) -> object:  # noqa: ANN401 - as above
    """The value of a request's, an input's or an output's parameter; None if it is absent."""
    if name not in parameters:
        return None
    value = parameters[name]
    chosen = value.WhichOneof("parameter_choice")
    return getattr(value, chosen) if chosen else None


def _from_contents(contents: Any, spec: TensorSpec, shape: list[int]) -> Array:  # noqa: ANN401 - as above
    datatype = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    field = _CONTENTS.get(datatype)
    if field is None:
        raise RequestError(400, f"input '{spec.name}': {datatype} has to be sent as raw input contents")
    values = getattr(contents, field)
    if len(values) != math.prod(shape):
        raise RequestError(
            400,
            f"input '{spec.name}': shape {shape} does not match the {len(values)} elements of {field}",
        )
    if datatype == "BYTES":
        return strings(list(values), spec.name).reshape(shape)
    try:
        return np.array(values, spec.dtype).reshape(shape)
    except OverflowError as error:
        raise RequestError(
            400, f"input '{spec.name}': {field} has a value outside {datatype}'s range"
        ) from error
