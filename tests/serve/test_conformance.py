"""The conformance table: every endpoint, every data type, every error, by each of tritonclient's four clients.

Each row runs over HTTP and gRPC, sync and aio. The aio clients have the methods of the sync ones, as
coroutines, so one small wrapper makes four clients of one shape.
"""

import asyncio
import inspect

import numpy as np
import pytest
import tritonclient.grpc as grpc_sync
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_sync
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME

CLIENTS = {"http": http_sync, "http.aio": http_aio, "grpc": grpc_sync, "grpc.aio": grpc_aio}


class Client:
    """One of the four clients; every call returns its result, awaited where need be."""

    def __init__(self, kind, address):
        self.module, self.is_http = CLIENTS[kind], kind.startswith("http")
        self._runner = asyncio.Runner()
        self._client = self._result(lambda: self.module.InferenceServerClient(address))

    def _result(self, call):
        async def run():
            result = call()
            return await result if inspect.isawaitable(result) else result

        return self._runner.run(run())

    def call(self, method, *arguments, **options):
        return self._result(lambda: getattr(self._client, method)(*arguments, **options))

    def infer(self, model, arrays, *, change=None, **options):
        inputs = []
        for name, array in arrays.items():
            tensor = self.module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        if change is not None:
            change(self, inputs)
        return self.call("infer", model, inputs, **options)

    def close(self):
        self.call("close")
        self._runner.close()


@pytest.fixture(params=CLIENTS)
def client(request, server, grpc_server):
    client = Client(request.param, server if request.param.startswith("http") else grpc_server)
    yield client
    client.close()


def plain(answer):
    """An answer as Python's own values: HTTP gives them already, gRPC gives messages."""
    if isinstance(answer, (dict, list)):
        return answer
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def test_health(client):
    assert client.call("is_server_live") is True
    assert client.call("is_server_ready") is True
    assert client.call("is_model_ready", "double") is True
    assert client.call("is_model_ready", "double", "1") is True
    assert client.call("is_model_ready", "double", "7") is False
    assert client.call("is_model_ready", "nobody") is False


def test_metadata(client):
    server = plain(client.call("get_server_metadata"))
    assert server["name"] == "dashdeploy"
    assert {"binary_tensor_data", "classification", "model_repository"} <= set(server["extensions"])
    model = plain(client.call("get_model_metadata", "double", "1"))
    assert (model["name"], model["versions"], model["platform"]) == ("double", ["1"], "onnxruntime_onnx")
    (tensor,) = model["inputs"]
    assert (tensor["name"], tensor["datatype"], [int(n) for n in tensor["shape"]]) == ("x", "FP32", [-1, 4])


def test_config_statistics_and_repository(client):
    config = plain(client.call("get_model_config", "double"))
    assert config.get("config", config)["max_batch_size"] == 32
    statistics = plain(client.call("get_inference_statistics", "double"))["model_stats"]
    assert [(entry["name"], entry["version"]) for entry in statistics] == [("double", "1")]
    index = plain(client.call("get_model_repository_index"))
    listed = index if isinstance(index, list) else index["models"]
    names = {entry["name"]: entry["state"] for entry in listed}
    assert names["double"] == "READY"
    for method in ("load_model", "unload_model"):
        with pytest.raises(InferenceServerException) as error:
            client.call(method, "double")
        assert error.value.status() == ("503" if client.is_http else "StatusCode.UNAVAILABLE")


@pytest.mark.parametrize("name", [name for name in DATATYPE_BY_NUMPY_NAME if name != "object"])
def test_every_data_type(client, name):
    others = {other: np.zeros((2, 3), other) for other in DATATYPE_BY_NUMPY_NAME if other != "object"}
    array = np.array([[0, 1, 1], [1, 1, 0]], name)
    feeds = {f"in_{other}": zeros for other, zeros in others.items()} | {f"in_{name}": array}
    answer = client.infer("identity", feeds).as_numpy(f"out_{name}")
    assert answer.dtype == array.dtype
    np.testing.assert_array_equal(answer, array)


def test_text(client):
    words = np.array([["", "a", "größer"]], object)
    answer = client.infer("text", {"words": words}).as_numpy("copy")
    assert [word.decode() for word in answer[0]] == words[0].tolist()


def test_ids_versions_and_requested_outputs(client):
    feeds = {"a": np.array([1, 9], np.float32), "b": np.array([4, 3], np.float32)}
    outputs = [client.module.InferRequestedOutput("sum")]
    result = client.infer("divide", feeds, model_version="1", outputs=outputs, request_id="id 7")
    np.testing.assert_array_equal(result.as_numpy("sum"), [5, 12])
    assert result.as_numpy("quotient") is None
    response = plain(result.get_response())
    assert (response["id"], response["model_version"]) == ("id 7", "1")


def test_classification(client):
    outputs = [client.module.InferRequestedOutput("y", class_count=1)]
    result = client.infer("double", {"x": np.array([[0, 1, 3, 2]], np.float32)}, outputs=outputs)
    assert result.as_numpy("y").tolist() == [[b"6.000000:2:two"]]


def set_shape(shape):
    def change(client, inputs):
        if client.is_http:
            inputs[0]._shape = shape
        else:
            inputs[0]._input.ClearField("shape")
            inputs[0]._input.shape.extend(shape)

    return change


def unknown_output(client):
    return {"outputs": [client.module.InferRequestedOutput("z")]}


X = {"x": np.zeros((1, 4), np.float32)}

ERRORS = {
    "unknown model": ("nobody", X, {}, 404, "NOT_FOUND"),
    "unknown version": ("double", X, {"model_version": "7"}, 404, "NOT_FOUND"),
    "version no number": ("double", X, {"model_version": "x"}, 400, "INVALID_ARGUMENT"),
    "unknown input": ("double", {"z": X["x"]}, {}, 400, "INVALID_ARGUMENT"),
    "missing input": ("divide", {"a": np.zeros(1, np.float32)}, {}, 400, "INVALID_ARGUMENT"),
    "input twice": (
        "double",
        X,
        {"change": lambda _, inputs: inputs.append(inputs[0])},
        400,
        "INVALID_ARGUMENT",
    ),
    "bad rank": ("double", {"x": np.zeros(4, np.float32)}, {}, 400, "INVALID_ARGUMENT"),
    "bad length": ("double", {"x": np.zeros((1, 5), np.float32)}, {}, 400, "INVALID_ARGUMENT"),
    "batch of zero": ("double", {"x": np.zeros((0, 4), np.float32)}, {}, 400, "INVALID_ARGUMENT"),
    "negative dimension": ("double", X, {"change": set_shape([-1, 4])}, 400, "INVALID_ARGUMENT"),
    "too few bytes": ("double", X, {"change": set_shape([2, 4])}, 400, "INVALID_ARGUMENT"),
    "too large a tensor": ("double", X, {"change": set_shape([2**40, 4])}, 413, "RESOURCE_EXHAUSTED"),
    "bad datatype": ("double", {"x": np.zeros((1, 4), np.int32)}, {}, 400, "INVALID_ARGUMENT"),
    "unknown output": ("double", X, unknown_output, 400, "INVALID_ARGUMENT"),
    "a value that the model cannot take": ("gather", {"index": np.array([99])}, {}, 400, "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("model, arrays, options, status, code", ERRORS.values(), ids=ERRORS)
def test_errors(client, model, arrays, options, status, code):
    options = options(client) if callable(options) else options
    with pytest.raises(InferenceServerException) as error:
        client.infer(model, arrays, **options)
    assert error.value.status() == (str(status) if client.is_http else f"StatusCode.{code}")
    assert error.value.message()


def test_an_oversized_message_over_grpc(grpc_server):
    # The other protocol's is in test_refusals.py, with gzip bombs and malformed binary headers.
    client = Client("grpc", grpc_server)
    try:
        with pytest.raises(InferenceServerException) as error:
            client.infer("double", {"x": np.zeros((66 * 2**20 // 16, 4), np.float32)})
        assert error.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert client.call("is_server_live")
    finally:
        client.close()
