"""Inference requests and responses on the wire: JSON, and JSON followed by binary tensors.

Sources: Open Inference Protocol version 2, "Inference"; Triton, "Binary Tensor Data Extension". Where they
are silent this follows Triton: extra bytes and a wrong byte count are refused, unknown parameters are
ignored, and JSON output data is flat in row-major order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.bytes_tensors import as_bytes
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.inference_request import (
    InferRequest,
    OutputRequest,
    check_inputs,
    class_count,
    timeout_seconds,
)
from dashdeploy.serve.protocol.input_tensors import (
    LONE_SURROGATE,
    BinaryTensors,
    input_tensor,
    parameters_of,
    raw_input,
)
from dashdeploy.serve.protocol.sequences import InterfaceOf, ModelInterface, sequence_control
from dashdeploy.serve.protocol.tensor_data import datatype_of, to_raw
from dashdeploy.serve.settings import DEFAULT_BODY_LIMIT

_STRING_OR_INF = re.compile(rb'"(?:[^"\\]|\\.)*"|\bInf\b')


@dataclass(frozen=True)
class EncodedResponse:
    """An inference response's body.

    Attributes:
        body: the JSON object, followed by the binary tensors if there are any.
        header_length: length of the JSON object in bytes if binary tensors follow it, else None.
    """

    body: bytes
    header_length: int | None


def decode_request(
    body: bytes,
    header_length: str | None,
    *,
    model: str,
    inputs: Mapping[str, TensorSpec],
    outputs: Mapping[str, TensorSpec],
    limit: int = DEFAULT_BODY_LIMIT,
    sequences: InterfaceOf | None = None,
) -> InferRequest:
    """Decode the body of an inference request and check it against the model.

    A header length of 0 means a raw binary request: all of the body is the model's one input, whose one
    dynamic axis follows from the number of bytes, and the outputs are sent as binary data.

    Args:
        body: the decompressed body.
        header_length: the Inference-Header-Content-Length header; None if all of the body is JSON.
        model: the model's name, for the messages.
        inputs: the model's inputs by name.
        outputs: the model's outputs by name.
        limit: the most bytes of a tensor.
        sequences: finds the model of a sequence, which the request is then checked against; None takes no sequences
            notice of.

    Raises:
        RequestError: 400 for anything that is malformed or does not fit the model, 413 for a tensor beyond
            the limit.
    """
    if header_length == "0":
        feeds = raw_input(body, model, inputs, limit=limit)
        return InferRequest(feeds, dict.fromkeys(outputs, OutputRequest(binary=True)), "")
    json_length = _json_length(header_length, len(body))
    view = memoryview(body)
    content = _parse_object(view[:json_length])
    binary = BinaryTensors(body, json_length) if header_length is not None else None
    parameters = _request_parameters(content)
    interface, control = ModelInterface(model, inputs, outputs, {}), None
    if sequences is not None:
        control = sequence_control(parameters, model)
        interface = interface if control is None else sequences(control)
    asked = interface.of_a_request(control)
    feeds = {}
    for tensor in _objects(content, "inputs"):
        name = _name(tensor, "input")
        spec = asked.inputs.get(name)
        if spec is None:
            raise interface.refuse_input(name, control)
        if name in feeds:
            raise RequestError(400, f"input '{name}' already exists in request")
        feeds[name] = input_tensor(tensor, spec, binary, limit=limit)
    check_inputs(feeds, asked.inputs, model)
    if binary is not None:
        binary.check_all_consumed(model)
    return InferRequest(
        feeds,
        _requested_outputs(content, model, interface.outputs, asked.outputs),
        _request_id(content),
        timeout_seconds(parameters.get("timeout")),
        control,
    )


def encode_response(
    request: InferRequest, results: Mapping[str, Array], *, model: str, version: str
) -> EncodedResponse:
    """Encode the results that `request` wants.

    Args:
        request: the request.
        results: an array per requested output, in order.
        model: the model's name.
        version: the version that ran.

    JSON has no NaN and no infinity. Triton writes them as bare words, which strict parsers refuse; here they
    are the strings "NaN", "Infinity" and "-Infinity" (as in Protocol Buffers' JSON mapping), so that the
    response is valid JSON and `numpy.array(data, dtype)`, as in tritonclient, still reads them back exactly.
    """
    tensors: list[dict[str, object]] = []
    blobs: list[bytes | memoryview] = []
    for name, array in results.items():
        tensor: dict[str, object] = {
            "name": name,
            "datatype": datatype_of(array),
            "shape": list(array.shape),
        }
        if request.outputs[name].binary:
            blob = to_raw(array)
            tensor["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            tensor["data"] = _json_data(np.ascontiguousarray(array).reshape(-1))
        tensors.append(tensor)
    content: dict[str, object] = {"model_name": model, "model_version": version, "outputs": tensors}
    if request.id:
        content["id"] = request.id
    header = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    if not blobs:
        return EncodedResponse(header, None)
    return EncodedResponse(b"".join([header, *blobs]), len(header))


def _json_length(header_length: str | None, body_length: int) -> int:
    if header_length is None:
        return body_length
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 20):
        raise RequestError(400, f"Unable to parse Inference-Header-Content-Length, got: {header_length[:40]}")
    length = int(header_length)
    if not 0 < length <= body_length:
        raise RequestError(
            400, f"inference header size should be in range (0, {body_length}], got: {header_length}"
        )
    return length


def _parse_object(text: memoryview) -> dict[str, Any]:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        content = _parse_with_non_finite(bytes(text), error)
    if not isinstance(content, dict):
        raise RequestError(400, "the inference request is not a JSON object")
    return content


def _parse_with_non_finite(text: bytes, strict_error: orjson.JSONDecodeError) -> object:
    """Parse JSON in which NaN, Inf and Infinity are bare words: tritonclient sends them, Triton reads them."""
    if b"NaN" in text or b"Inf" in text:
        with suppress(ValueError, RecursionError):
            return json.loads(text)
        with suppress(ValueError, RecursionError):  # Python's own parser does not know the short word
            return json.loads(_STRING_OR_INF.sub(_spell_out, text))
    raise RequestError(400, f"failed to parse the request JSON: {strict_error}") from strict_error


def _spell_out(match: re.Match[bytes]) -> bytes:
    return b"Infinity" if match[0] == b"Inf" else match[0]


def _objects(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    values = content.get(key)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise RequestError(400, f"the inference request's '{key}' is not an array of objects")
    return values


def _name(tensor: Mapping[str, Any], kind: str) -> str:
    name = tensor.get("name")
    if not isinstance(name, str):
        raise RequestError(400, f"an {kind} of the inference request has no 'name'")
    return name


def _request_parameters(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of the request, which may have any names, but not any types; as in Triton."""
    parameters = parameters_of(content)
    for name, value in parameters.items():
        if isinstance(value, (list, dict)):
            raise RequestError(
                400, f"parameter '{name}' has invalid type. It should be either 'int', 'bool', or 'string'."
            )
    return parameters


def _request_id(content: Mapping[str, Any]) -> str:
    request_id = content.get("id")
    if request_id is None:
        return ""
    if not isinstance(request_id, str) or LONE_SURROGATE.search(request_id):
        raise RequestError(400, "the inference request's 'id' is not a string of Unicode characters")
    return request_id


def _requested_outputs(
    content: Mapping[str, Any],
    model: str,
    outputs: Mapping[str, TensorSpec],
    unless_asked: Mapping[str, TensorSpec],
) -> dict[str, OutputRequest]:
    all_binary = _flag(content, "binary_data_output", default=False)
    if not content.get("outputs"):
        return dict.fromkeys(unless_asked, OutputRequest(binary=all_binary))
    requested: dict[str, OutputRequest] = {}
    for output in _objects(content, "outputs"):
        name = _name(output, "output")
        if name not in outputs:
            raise RequestError(400, f"unexpected inference output '{name}' for model '{model}'")
        parameters = parameters_of(output)
        if "shared_memory_region" in parameters:
            raise RequestError(400, f"output '{name}': the parameter 'shared_memory_region' is not supported")
        classes = parameters.get("classification")
        requested[name] = OutputRequest(
            binary=_flag(output, "binary_data", default=all_binary),
            classes=0 if classes is None else class_count(classes, name),
        )
    return requested


def _flag(item: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = parameters_of(item).get(key, default)
    if not isinstance(value, bool):
        raise RequestError(400, f"the parameter '{key}' is not true or false")
    return value


def _json_data(flat: Array) -> Array | list[object]:
    if flat.dtype.kind == "O":
        return [element.decode("utf-8", "replace") for element in as_bytes(flat)]
    if flat.dtype.kind != "f" or np.isfinite(flat).all():
        return flat
    names = {np.inf: "Infinity", -np.inf: "-Infinity"}
    return [
        value if np.isfinite(value) else names.get(value, "NaN") for value in flat.astype(np.float64).tolist()
    ]
