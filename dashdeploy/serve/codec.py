"""Inference requests and responses on the wire: JSON, and JSON followed by binary tensors.

Sources: Open Inference Protocol version 2, "Inference"; Triton, "Binary Tensor Data Extension". Where they
are silent this follows Triton: extra bytes and a wrong byte count are refused, unknown parameters are
ignored, and JSON output data is flat in row-major order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from dashdeploy.runtimes.base import Array
from dashdeploy.serve.datatypes import DATATYPE_BY_NUMPY_NAME
from dashdeploy.serve.input_tensors import BinaryTensors, input_tensor, parameters_of
from dashdeploy.serve.request_error import RequestError
from dashdeploy.tensor_spec import TensorSpec

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSUPPORTED_OUTPUT_PARAMETERS = ("classification", "shared_memory_region")


@dataclass(frozen=True)
class InferRequest:
    """A decoded inference request.

    Attributes:
        feeds: one array per input of the model; they may share memory with the request's body.
        outputs: the outputs to send, in order, and for each whether as binary data.
        id: the request's id, to be echoed; empty if there is none.
    """

    feeds: dict[str, Array]
    outputs: dict[str, bool]
    id: str


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
) -> InferRequest:
    """Decode the body of an inference request and check it against the model.

    Args:
        body: the decompressed body.
        header_length: the Inference-Header-Content-Length header; None if all of the body is JSON.
        model: the model's name, for the messages.
        inputs: the model's inputs by name.
        outputs: the model's outputs by name.

    Raises:
        RequestError: 400 for anything that is malformed or does not fit the model.
    """
    json_length = _json_length(header_length, len(body))
    view = memoryview(body)
    content = _parse_object(view[:json_length])
    binary = BinaryTensors(body, json_length) if header_length is not None else None
    feeds: dict[str, Array] = {}
    for tensor in _objects(content, "inputs"):
        name = _name(tensor, "input")
        spec = inputs.get(name)
        if spec is None:
            raise RequestError(400, f"unexpected inference input '{name}' for model '{model}'")
        if name in feeds:
            raise RequestError(400, f"input '{name}' already exists in request")
        feeds[name] = input_tensor(tensor, spec, binary)
    missing = [name for name in inputs if name not in feeds]
    if missing:
        raise RequestError(
            400,
            f"expected {len(inputs)} inputs but got {len(feeds)} inputs for model '{model}'; "
            f"missing: {', '.join(missing)}",
        )
    if binary is not None:
        binary.check_all_consumed(model)
    return InferRequest(feeds, _requested_outputs(content, model, outputs), _request_id(content))


def encode_response(
    request: InferRequest, results: Mapping[str, Array], *, model: str, version: str
) -> EncodedResponse:
    """Encode a model's outputs as `request` asked for them.

    JSON has no NaN and no infinity. Triton writes them as bare words, which strict parsers refuse; here they
    are the strings "NaN", "Infinity" and "-Infinity" (as in Protocol Buffers' JSON mapping), so that the
    response is valid JSON and `numpy.array(data, dtype)`, as in tritonclient, still reads them back exactly.
    """
    descriptions: list[dict[str, object]] = []
    blobs: list[memoryview] = []
    for name, as_binary in request.outputs.items():
        array = np.ascontiguousarray(results[name])
        description: dict[str, object] = {
            "name": name,
            "datatype": DATATYPE_BY_NUMPY_NAME[array.dtype.name],
            "shape": list(results[name].shape),
        }
        if as_binary:
            description["parameters"] = {"binary_data_size": array.nbytes}
            little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
            blobs.append(little_endian.reshape(-1).data)
        else:
            description["data"] = _json_data(array.reshape(-1))
        descriptions.append(description)
    content: dict[str, object] = {"model_name": model, "model_version": version, "outputs": descriptions}
    if request.id:
        content["id"] = request.id
    header = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(request.outputs.values()):
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
    """Parse JSON in which NaN and Infinity are bare words: tritonclient sends them, Triton reads them."""
    if b"NaN" in text or b"Infinity" in text:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    raise RequestError(400, f"failed to parse the request JSON: {strict_error}") from strict_error


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


def _request_id(content: Mapping[str, Any]) -> str:
    request_id = content.get("id", "")
    if not isinstance(request_id, str) or _LONE_SURROGATE.search(request_id):
        raise RequestError(400, "the inference request's 'id' is not a string of Unicode characters")
    return request_id


def _requested_outputs(
    content: Mapping[str, Any], model: str, outputs: Mapping[str, TensorSpec]
) -> dict[str, bool]:
    all_binary = _flag(content, "binary_data_output", default=False)
    if not content.get("outputs"):
        return dict.fromkeys(outputs, all_binary)
    requested: dict[str, bool] = {}
    for output in _objects(content, "outputs"):
        name = _name(output, "output")
        if name not in outputs:
            raise RequestError(400, f"unexpected inference output '{name}' for model '{model}'")
        for unsupported in _UNSUPPORTED_OUTPUT_PARAMETERS:
            if unsupported in parameters_of(output):
                raise RequestError(400, f"output '{name}': the parameter '{unsupported}' is not supported")
        requested[name] = _flag(output, "binary_data", default=all_binary)
    return requested


def _flag(item: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = parameters_of(item).get(key, default)
    if not isinstance(value, bool):
        raise RequestError(400, f"the parameter '{key}' is not true or false")
    return value


def _json_data(flat: Array) -> Array | list[object]:
    if flat.dtype.kind != "f" or np.isfinite(flat).all():
        return flat
    names = {np.inf: "Infinity", -np.inf: "-Infinity"}
    return [
        value if np.isfinite(value) else names.get(value, "NaN") for value in flat.astype(np.float64).tolist()
    ]
