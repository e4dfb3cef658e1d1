"""The REST interface as an OpenAPI 3.1 description for tools, clients and fuzzers, served at ``/openapi.json``."""

from __future__ import annotations

from typing import Any

from dashdeploy.artifacts.tensor_spec import NUMPY_BY_DATATYPE
from dashdeploy.version import __version__

_Schema = dict[str, Any]

_PARAMETERS: _Schema = {"type": "object"}
_TENSOR_DATA: _Schema = {
    "description": "The values in row-major order, flat or nested.",
    "type": "array",
}

SCHEMAS: dict[str, _Schema] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
        "additionalProperties": False,
    },
    "InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {
                    "timeout": {"type": "integer", "minimum": 0, "description": "Microseconds."},
                    "binary_data_output": {"type": "boolean"},
                    "sequence_id": {"type": ["integer", "string"]},
                    "sequence_start": {"type": "boolean"},
                    "sequence_end": {"type": "boolean"},
                },
            },
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/InputTensor"}},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/RequestedOutput"}},
        },
    },
    "InputTensor": {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": list(NUMPY_BY_DATATYPE)},
            "data": _TENSOR_DATA,
            "parameters": _PARAMETERS,
        },
    },
    "RequestedOutput": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {
                    "binary_data": {"type": "boolean"},
                    "classification": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
    "InferResponse": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "shape", "datatype"],
                    "properties": {
                        "name": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer"}},
                        "datatype": {"enum": list(NUMPY_BY_DATATYPE)},
                        "data": _TENSOR_DATA,
                        "parameters": _PARAMETERS,
                    },
                },
            },
        },
    },
    "ModelMetadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
    },
    "Object": {"type": "object"},
    "Index": {
        "type": "array",
        "items": {"type": "object", "required": ["name", "version", "state", "reason"]},
    },
}


def openapi() -> dict[str, Any]:
    """The description."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    paths: dict[str, Any] = {
        "/v2": {"get": _operation("Server metadata", "Object")},
        "/v2/health/live": {"get": _operation("Whether the server lives", "Object")},
        "/v2/health/ready": {"get": _operation("Whether every model is ready", "Object")},
        "/v2/models/stats": {"get": _operation("Statistics of every model", "Object")},
        "/v2/repository/index": {
            "post": _operation("Every version that was found", "Index", body="Object", body_required=False)
        },
    }
    for prefix, parameters in (
        ("/v2/models/{model}", [model]),
        ("/v2/models/{model}/versions/{version}", [model, version]),
    ):
        paths |= {
            prefix: {"get": _operation("Model metadata", "ModelMetadata"), "parameters": parameters},
            f"{prefix}/ready": {
                "get": _operation("Whether the model is ready", "Object"),
                "parameters": parameters,
            },
            f"{prefix}/config": {
                "get": _operation("Model configuration", "Object"),
                "parameters": parameters,
            },
            f"{prefix}/stats": {"get": _operation("Model statistics", "Object"), "parameters": parameters},
            f"{prefix}/sample": {
                "get": _operation("A request to try the model with, from its bundle", "InferRequest"),
                "parameters": parameters,
            },
            f"{prefix}/infer": {
                "post": _operation("Inference", "InferResponse", body="InferRequest"),
                "parameters": parameters,
            },
        }
    for action in ("load", "unload"):
        paths[f"/v2/repository/models/{{model}}/{action}"] = {
            "post": {"summary": f"{action.capitalize()} a model", "responses": _responses(None)},
            "parameters": [model],
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "dashdeploy: Open Inference Protocol, version 2", "version": __version__},
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(
    summary: str, answer: str, *, body: str | None = None, body_required: bool = True
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": _responses(answer)}
    if body is not None:
        operation["requestBody"] = {"required": body_required, "content": _json(body)}
    return operation


def _responses(answer: str | None) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        done["content"] = _json(answer)
    refused = {"description": "Refused; the body says why.", "content": _json("Error")}
    return {"200": done} | dict.fromkeys(
        ("400", "401", "404", "408", "413", "500", "501", "503", "504"), refused
    )


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
