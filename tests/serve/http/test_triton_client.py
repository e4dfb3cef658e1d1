"""tritonclient.http, unmodified, against a real server."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from dashdeploy import __version__
from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME

TYPES = [name for name in DATATYPE_BY_NUMPY_NAME if name != "object"]


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server) as client:
        yield client


def as_input(name, array, *, binary=True):
    tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def extreme_values(dtype):
    """Two rows of three with the type's limits in them."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([[True, False, True], [False, False, True]])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([[limits.min, limits.max, 0], [1, 2, 3]], dtype=dtype)


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("double")
    assert client.is_model_ready("double", "1")
    assert not client.is_model_ready("double", "2")
    assert not client.is_model_ready("nobody")
    metadata = client.get_server_metadata()
    assert (metadata["name"], metadata["version"]) == ("dashdeploy", __version__)
    assert {"binary_tensor_data", "classification", "statistics"} <= set(metadata["extensions"])
    assert client.get_model_metadata("double", "1") == {
        "name": "double",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
    }


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer_binary_by_default(client, compression):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    result = client.infer("double", [as_input("x", x)], request_compression_algorithm=compression)
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * x)
    response = result.get_response()
    assert response["model_name"] == "double"
    assert response["model_version"] == "1"
    assert "id" not in response
    assert response["outputs"][0]["parameters"] == {"binary_data_size": 80}


def test_infer_json_is_exact_and_echoes_the_id(client):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    result = client.infer(
        "double",
        [as_input("x", x, binary=False)],
        model_version="1",
        outputs=[triton.InferRequestedOutput("y", binary_data=False)],
        request_id="request-7 é",
    )
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * x)
    assert result.get_response()["id"] == "request-7 é"
    assert "parameters" not in result.get_output("y")
    assert result.get_output("y")["shape"] == [5, 4]


def test_every_data_type_as_binary(client):
    arrays = {name: extreme_values(name) for name in TYPES}
    result = client.infer("identity", [as_input(f"in_{name}", array) for name, array in arrays.items()])
    for name, array in arrays.items():
        answer = result.as_numpy(f"out_{name}")
        assert answer.dtype == array.dtype
        np.testing.assert_array_equal(answer, array)


def test_every_data_type_as_json(client):
    arrays = {name: extreme_values(name) for name in TYPES}
    # tritonclient itself refuses to write FP16 as JSON.
    inputs = [as_input(f"in_{name}", array, binary=name == "float16") for name, array in arrays.items()]
    outputs = [triton.InferRequestedOutput(f"out_{name}", binary_data=False) for name in TYPES]
    result = client.infer("identity", inputs, outputs=outputs)
    for name, array in arrays.items():
        np.testing.assert_array_equal(result.as_numpy(f"out_{name}"), array)


def test_requested_outputs_in_the_order_asked_and_mixed_encodings(client):
    a, b = np.array([1, 2], np.float32), np.array([4, 8], np.float32)
    outputs = [
        triton.InferRequestedOutput("sum", binary_data=True),
        triton.InferRequestedOutput("quotient", binary_data=False),
    ]
    result = client.infer("divide", [as_input("b", b), as_input("a", a, binary=False)], outputs=outputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["sum", "quotient"]
    np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
    np.testing.assert_array_equal(result.as_numpy("quotient"), a / b)
    only = client.infer("divide", [as_input("a", a), as_input("b", b)], outputs=outputs[:1])
    assert only.as_numpy("quotient") is None


@pytest.mark.parametrize("binary", [True, False])
def test_not_a_number_and_infinity_both_ways(client, binary):
    a = np.array([0, 1, -1, 3, np.nan, np.inf], np.float32)
    b = np.array([0, 0, 0, 2, 1, 1], np.float32)
    result = client.infer(
        "divide",
        [as_input("a", a, binary=binary), as_input("b", b, binary=binary)],
        outputs=[triton.InferRequestedOutput("quotient", binary_data=binary)],
    )
    expected = np.array([np.nan, np.inf, -np.inf, 1.5, np.nan, np.inf], np.float32)
    np.testing.assert_array_equal(result.as_numpy("quotient"), expected)
    if not binary:
        data = result.get_output("quotient")["data"]
        assert data == ["NaN", "Infinity", "-Infinity", 1.5, "NaN", "Infinity"]
        json.dumps(data, allow_nan=False)  # valid JSON, or this raises


def test_a_value_that_the_model_cannot_take_is_400_and_the_server_lives(client):
    with pytest.raises(InferenceServerException, match=r"gather.*idx=99 must be within") as error:
        client.infer("gather", [as_input("index", np.array([99]))])
    assert error.value.status() == "400"
    result = client.infer("gather", [as_input("index", np.array([2, 0]))])
    np.testing.assert_array_equal(result.as_numpy("value"), [30.0, 10.0])


def test_concurrent_clients_get_their_own_answers(server):
    def work(number):
        right = 0
        with triton.InferenceServerClient(server) as client:
            for step in range(25):
                x = np.full((number + 1, 4), 100 * number + step, np.float32)
                result = client.infer("double", [as_input("x", x)], request_id=f"{number}.{step}")
                right += np.array_equal(result.as_numpy("y"), 2 * x)
                right += result.get_response()["id"] == f"{number}.{step}"
        return right

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [50] * 8


def test_large_tensor(client):
    x = np.random.default_rng(0).standard_normal((100_000, 4)).astype(np.float32)
    np.testing.assert_array_equal(client.infer("double", [as_input("x", x)]).as_numpy("y"), 2 * x)


@pytest.mark.parametrize(
    "model, version, status", [("nobody", "", "404"), ("double", "2", "404"), ("double", "x", "400")]
)
def test_unknown_model(client, model, version, status):
    with pytest.raises(InferenceServerException) as error:
        client.infer(model, [as_input("x", np.zeros((1, 4), np.float32))], model_version=version)
    assert error.value.status() == status
    assert model in error.value.message() or "version" in error.value.message()
