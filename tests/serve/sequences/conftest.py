"""Models with states, a server that holds them, and clients of every kind that speak of sequences."""

import http.client
import json
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import np_to_triton_dtype

FLOAT = TensorProto.FLOAT


def write_gru(write, folder, **more):
    """A convolution and a GRU, as voice detectors have them: x [b, 8, n] and h0 [1, b, 4] give y [b, 4] and hn."""
    generator = np.random.default_rng(0)

    def weights(name, *shape):
        values = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(values.astype(np.float32), name)

    return write.bundle(
        folder,
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[2, 2]),
            helper.make_node("Transpose", ["c"], ["t"], perm=[2, 0, 1]),
            helper.make_node("GRU", ["t", "gw", "gr", "", "", "h0"], ["gy", "hn"], hidden_size=4),
            helper.make_node("Squeeze", ["hn", "axes"], ["y"]),
        ],
        [("x", FLOAT, ["b", 8, "n"]), ("h0", FLOAT, [1, "b", 4])],
        [("y", FLOAT, ["b", 4]), ("hn", FLOAT, [1, "b", 4])],
        [
            weights("w", 16, 8, 5),
            weights("gw", 1, 12, 16),
            weights("gr", 1, 12, 4),
            numpy_helper.from_array(np.array([0]), "axes"),
        ],
        states={"h0": "hn"},
        **more,
    )


def write_sum(write, folder, *, factor=1.0, **more):
    """The running sum of factor * x, float32 [n, 2], which may be batched."""
    return write.bundle(
        folder,
        [
            helper.make_node("Mul", ["x", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "total"], ["y"]),
            helper.make_node("Identity", ["y"], ["next_total"]),
        ],
        [("x", FLOAT, ["n", 2]), ("total", FLOAT, ["n", 2])],
        [("y", FLOAT, ["n", 2]), ("next_total", FLOAT, ["n", 2])],
        [helper.make_tensor("factor", FLOAT, [], [factor])],
        states={"total": "next_total"},
        **more,
    )


class RefusedError(Exception):
    """A request that was refused, whatever the protocol."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


_HTTP_STATUS = {
    "StatusCode.INVALID_ARGUMENT": 400,
    "StatusCode.NOT_FOUND": 404,
    "StatusCode.UNAVAILABLE": 503,
    "StatusCode.INTERNAL": 500,
    "StatusCode.RESOURCE_EXHAUSTED": 413,
}


class Tritonclient:
    """tritonclient, unmodified, over one protocol."""

    def __init__(self, module, address):
        self._module = module
        self._client = module.InferenceServerClient(address)

    def ask(self, model, feeds, outputs=None, **options):
        """The outputs by name, and the version that ran."""
        inputs = []
        for name, array in feeds.items():
            inputs.append(self._module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
            inputs[-1].set_data_from_numpy(array)
        wanted = outputs and [self._module.InferRequestedOutput(name) for name in outputs]
        try:
            result = self._client.infer(model, inputs, outputs=wanted, **options)
        except self._module.InferenceServerException as error:
            status = error.status()
            raise RefusedError(_HTTP_STATUS.get(status) or int(status), error.message()) from error
        response = result.get_response()
        if isinstance(response, dict):
            names, version = [each["name"] for each in response["outputs"]], response["model_version"]
        else:
            names, version = [each.name for each in response.outputs], response.model_version
        return {name: result.as_numpy(name) for name in names}, version

    def close(self):
        self._client.close()


class JsonClient:
    """Plain JSON over HTTP."""

    def __init__(self, _module, address):
        self._connection = http.client.HTTPConnection(address, timeout=30)

    def ask(self, model, feeds, outputs=None, model_version="", **options):
        content = {
            "inputs": [
                {
                    "name": name,
                    "shape": array.shape,
                    "datatype": np_to_triton_dtype(array.dtype),
                    "data": array.ravel().tolist(),
                }
                for name, array in feeds.items()
            ],
            "parameters": options,
        }
        if outputs:
            content["outputs"] = [{"name": name} for name in outputs]
        version = f"/versions/{model_version}" if model_version else ""
        self._connection.request("POST", f"/v2/models/{model}{version}/infer", json.dumps(content))
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise RefusedError(response.status, answer["error"])
        found = {
            each["name"]: np.array(each["data"], np.float32).reshape(each["shape"])
            for each in answer["outputs"]
        }
        return found, answer["model_version"]

    def close(self):
        self._connection.close()


KINDS = {
    "json": lambda running: JsonClient(None, running.http),
    "binary": lambda running: Tritonclient(triton_http, running.http),
    "grpc": lambda running: Tritonclient(triton_grpc, running.grpc),
}


@pytest.fixture(scope="package")
def models(write):
    """The functions that write the models, and the error that clients raise."""
    return SimpleNamespace(
        gru=lambda folder, **more: write_gru(write, folder, **more),
        sum=lambda folder, **more: write_sum(write, folder, **more),
        clients=KINDS,
        RefusedError=RefusedError,
    )


@pytest.fixture(scope="package")
def running(tmp_path_factory, models, write, start_server):
    root = tmp_path_factory.mktemp("sequences")
    bundles = [models.gru(root / "gru"), models.sum(root / "sum"), write.double(root / "double")]
    with start_server(bundles) as server:
        yield server
        assert server.process.poll() is None, "the server died"


@pytest.fixture(scope="package")
def by_hand(tmp_path_factory, models):
    """Runs the GRU step by step in ONNX Runtime: the chunks of x, and what y is for each."""
    model = models.gru(tmp_path_factory.mktemp("alone") / "gru") / "model.onnx"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(chunks):
        state, found = np.zeros((1, len(chunks[0]), 4), np.float32), []
        for chunk in chunks:
            y, state = session.run(["y", "hn"], {"x": chunk, "h0": state})
            found.append(y)
        return found, state

    return run


@pytest.fixture(params=KINDS)
def client(request, running):
    client = KINDS[request.param](running)
    yield client
    client.close()
