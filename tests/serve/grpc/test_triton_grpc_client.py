"""tritonclient.grpc, unmodified, against a real server: sync, aio and streaming."""

import asyncio
import queue
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from dashdeploy import __version__
from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME

TYPES = [name for name in DATATYPE_BY_NUMPY_NAME if name != "object"]


@pytest.fixture
def client(grpc_server):
    with triton.InferenceServerClient(grpc_server) as client:
        yield client


def as_input(name, array):
    tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("double")
    assert client.is_model_ready("double", "1")
    assert client.is_model_ready("nobody") is False
    assert client.is_model_ready("double", "2") is False
    with pytest.raises(InferenceServerException) as error:
        client.is_model_ready("double", "x")
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT"
    metadata = client.get_server_metadata()
    assert (metadata.name, metadata.version) == ("dashdeploy", __version__)
    assert "statistics" in metadata.extensions
    model = client.get_model_metadata("double", as_json=True)
    assert model == {
        "name": "double",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": ["-1", "4"]}],
    }


def test_config_statistics_and_index(client):
    config = client.get_model_config("double").config
    assert config.name == "double"
    assert config.max_batch_size == 32
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32
    assert list(config.input[0].dims) == [4]
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 256
    before = client.get_inference_statistics("double").model_stats[0]
    client.infer("double", [as_input("x", np.zeros((3, 4), np.float32))])
    after = client.get_inference_statistics("double", "1").model_stats[0]
    assert after.inference_count == before.inference_count + 3
    assert after.execution_count == before.execution_count + 1
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert len(client.get_inference_statistics().model_stats) >= 4
    index = client.get_model_repository_index()
    assert {(model.name, model.version, model.state) for model in index.models} >= {("double", "1", "READY")}


def test_model_control_is_refused_unless_enabled(client):
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="not allowed") as error:
            call("double")
        assert error.value.status() == "StatusCode.UNAVAILABLE"


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer(client, compression):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    result = client.infer("double", [as_input("x", x)], request_id="7é", compression_algorithm=compression)
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * x)
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("double", "1", "7é")


def test_every_data_type(client):
    arrays = {name: np.array([[0, 1, 1], [1, 0, 1]], name) for name in TYPES}
    result = client.infer("identity", [as_input(f"in_{name}", array) for name, array in arrays.items()])
    for name, array in arrays.items():
        answer = result.as_numpy(f"out_{name}")
        assert answer.dtype == array.dtype
        np.testing.assert_array_equal(answer, array)


def test_text(client):
    words = np.array([["", "a", "größer"]], object)
    result = client.infer("text", [as_input("words", words)])
    assert [[word.decode() for word in row] for row in result.as_numpy("copy")] == words.tolist()


def test_typed_contents(grpc_server):
    """What other clients send; tritonclient always sends raw bytes."""
    import grpc

    request = service_pb2.ModelInferRequest(model_name="double")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([1, 2, 3, 4])
    with grpc.insecure_channel(grpc_server) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        response = infer(request)
        assert np.frombuffer(response.raw_output_contents[0], np.float32).tolist() == [2, 4, 6, 8]
        tensor.contents.fp32_contents.append(5)
        with pytest.raises(grpc.RpcError) as error:
            infer(request)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        request.raw_input_contents.append(b"1234")
        with pytest.raises(grpc.RpcError) as error:
            infer(request)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_requested_outputs_and_classes(client):
    a, b = np.array([1, 9], np.float32), np.array([4, 3], np.float32)
    inputs = [as_input("a", a), as_input("b", b)]
    result = client.infer("divide", inputs, outputs=[triton.InferRequestedOutput("sum")])
    assert [output.name for output in result.get_response().outputs] == ["sum"]
    x = np.array([[0.5, 2, -1, 1.25]], np.float32)
    top = client.infer(
        "double", [as_input("x", x)], outputs=[triton.InferRequestedOutput("y", class_count=2)]
    )
    assert top.as_numpy("y").tolist() == [[b"4.000000:1:one", b"2.500000:3:three"]]


REFUSED = {
    "unknown model": ("nobody", "", {"x": np.zeros((1, 4), np.float32)}, "NOT_FOUND"),
    "unknown version": ("double", "7", {"x": np.zeros((1, 4), np.float32)}, "NOT_FOUND"),
    "version no number": ("double", "x", {"x": np.zeros((1, 4), np.float32)}, "INVALID_ARGUMENT"),
    "unknown input": ("double", "", {"z": np.zeros((1, 4), np.float32)}, "INVALID_ARGUMENT"),
    "missing input": ("divide", "", {"a": np.zeros(1, np.float32)}, "INVALID_ARGUMENT"),
    "wrong shape": ("double", "", {"x": np.zeros((1, 5), np.float32)}, "INVALID_ARGUMENT"),
    "batch of zero": ("double", "", {"x": np.zeros((0, 4), np.float32)}, "INVALID_ARGUMENT"),
    "wrong datatype": ("double", "", {"x": np.zeros((1, 4), np.float64)}, "INVALID_ARGUMENT"),
    "a value that the model cannot take": ("gather", "", {"index": np.array([99])}, "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("model, version, arrays, code", REFUSED.values(), ids=REFUSED)
def test_refusals(client, model, version, arrays, code):
    with pytest.raises(InferenceServerException) as error:
        client.infer(model, [as_input(name, array) for name, array in arrays.items()], model_version=version)
    assert error.value.status() == f"StatusCode.{code}"
    assert error.value.message()


def test_negative_dimension_and_too_few_bytes(client):
    tensor = as_input("x", np.zeros((1, 4), np.float32))
    tensor._input.shape[0] = -1
    with pytest.raises(InferenceServerException, match="negative dimension"):
        client.infer("double", [tensor])
    tensor._input.shape[0] = 2
    with pytest.raises(InferenceServerException, match="unexpected size"):
        client.infer("double", [tensor])


def test_concurrent_clients_get_their_own_answers(grpc_server):
    def work(number):
        right = 0
        with triton.InferenceServerClient(grpc_server) as client:
            for step in range(20):
                x = np.full((number + 1, 4), 100 * number + step, np.float32)
                result = client.infer("double", [as_input("x", x)], request_id=f"{number}.{step}")
                right += np.array_equal(result.as_numpy("y"), 2 * x)
                right += result.get_response().id == f"{number}.{step}"
        return right

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [40] * 8


def test_streaming_answers_in_order_and_survives_errors(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for step in range(20):
        model = "nobody" if step == 7 else "double"
        x = np.full((1, 4), step, np.float32)
        client.async_stream_infer(model, [as_input("x", x)], request_id=str(step))
    for step in range(20):
        result, error = answers.get(timeout=30)
        if step == 7:
            assert "nobody" in error.message()
            continue
        assert error is None
        assert result.get_response().id == str(step)
        np.testing.assert_array_equal(result.as_numpy("y"), np.full((1, 4), 2 * step))
    client.stop_stream()


def test_aio(grpc_server):
    async def run():
        async with triton_aio.InferenceServerClient(grpc_server) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("double")).name == "double"
            arrays = [np.full((1, 4), step, np.float32) for step in range(10)]
            results = await asyncio.gather(*(client.infer("double", [as_input("x", x)]) for x in arrays))
            for x, result in zip(arrays, results, strict=True):
                np.testing.assert_array_equal(result.as_numpy("y"), 2 * x)

            async def requests():
                for x in arrays:
                    yield {"model_name": "double", "inputs": [as_input("x", x)]}

            step = 0
            async for result, error in client.stream_infer(requests()):
                assert error is None
                np.testing.assert_array_equal(result.as_numpy("y"), 2 * arrays[step])
                step += 1
            assert step == 10

    asyncio.run(run())


def test_a_passed_deadline_and_a_cancelled_call_free_the_queue(tmp_path, write, start_server):
    with (
        start_server([write.double(tmp_path / "double")], cost=1.0, max_rows=1) as running,
        triton.InferenceServerClient(running.grpc) as client,
    ):
        assert client.is_server_ready()  # the connection stands before a deadline runs
        x = [as_input("x", np.zeros((1, 4), np.float32))]
        with pytest.raises(InferenceServerException) as error:
            client.infer("double", x, client_timeout=0.3)
        assert error.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        done = queue.Queue()
        calls = [
            client.async_infer("double", x, lambda result, error: done.put((result, error))) for _ in range(3)
        ]
        time.sleep(0.3)  # until they wait behind the first, which goes on running for nobody
        calls[1].cancel()
        outcomes = [done.get(timeout=30) for _ in range(3)]
        assert sum(error is not None for _, error in outcomes) == 1
        statistics = client.get_inference_statistics("double").model_stats[0]
        assert statistics.inference_stats.success.count == 2
        # On a busy machine a cancelled call may not even have arrived.
        assert 1 <= statistics.inference_stats.fail.count <= 2
        assert statistics.execution_count <= 3
