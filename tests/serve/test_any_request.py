"""Whatever a client asks of models with several inputs, by JSON, binary tensors or gRPC, no answer blames the server.

A valid request gets what NumPy computes; anything else gets the code of a client's mistake, which is never 5xx or
INTERNAL.
"""

import http.client
import json
import math
import time
from threading import Thread

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import serialize_byte_tensor

TABLE = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
TINY = float(
    np.finfo(np.float32).tiny
)  # below it JSON's shortest decimals and flushed subnormals differ by more
DATATYPES = {
    "float32": "FP32",
    "float16": "FP16",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "object": "BYTES",
}
CONTENTS = {
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "INT32": "int_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}

MODELS = {
    # The rows are independent, so requests may share a batch.
    "dynamic": (
        {"x": ("float32", ("n", 2)), "row": ("int64", ("n",)), "use": ("bool", ("n", 1))},
        lambda x, row, use: {"y": np.where(use, x + TABLE[row], x)},
    ),
    "fixed": (
        {
            "x": ("float32", (2, 2)),
            "row": ("int32", (2,)),
            "half": ("float16", (2, 1)),
            "word": ("object", (2,)),
        },
        lambda x, row, half, word: {"y": (x + TABLE[row]) * half.astype(np.float32), "copy": word},
    ),
    # Two axes of different names that have to agree all the same: only the engine knows.
    "lengths": (
        {"x": ("float32", ("n",)), "k": ("float32", ("m",))},
        lambda x, k: {"y": x * k},
    ),
    "reshape": (
        {"x": ("float32", ("n", 4)), "shape": ("int64", ("rank",))},
        lambda x, shape: {"y": x.reshape([n or x.shape[i] for i, n in enumerate(shape)])},
    ),
}


def write_models(root, write):
    table = helper.make_tensor("table", TensorProto.FLOAT, TABLE.shape, TABLE.ravel())
    node, kind = helper.make_node, TensorProto
    yield write.bundle(
        root / "dynamic",
        [
            node("Gather", ["table", "row"], ["found"]),
            node("Add", ["x", "found"], ["sum"]),
            node("Where", ["use", "sum", "x"], ["y"]),
        ],
        [("x", kind.FLOAT, ["n", 2]), ("row", kind.INT64, ["n"]), ("use", kind.BOOL, ["n", 1])],
        [("y", kind.FLOAT, ["n", 2])],
        [table],
    )
    yield write.bundle(
        root / "fixed",
        [
            node("Gather", ["table", "row"], ["found"]),
            node("Add", ["x", "found"], ["sum"]),
            node("Cast", ["half"], ["single"], to=kind.FLOAT),
            node("Mul", ["sum", "single"], ["y"]),
            node("Identity", ["word"], ["copy"]),
        ],
        [
            ("x", kind.FLOAT, [2, 2]),
            ("row", kind.INT32, [2]),
            ("half", kind.FLOAT16, [2, 1]),
            ("word", kind.STRING, [2]),
        ],
        [("y", kind.FLOAT, [2, 2]), ("copy", kind.STRING, [2])],
        [table],
    )
    yield write.bundle(
        root / "lengths",
        [node("Mul", ["x", "k"], ["y"])],
        [("x", kind.FLOAT, ["n"]), ("k", kind.FLOAT, ["m"])],
        [("y", kind.FLOAT, ["n"])],
    )
    yield write.bundle(
        root / "reshape",
        [node("Reshape", ["x", "shape"], ["y"])],
        [("x", kind.FLOAT, ["n", 4]), ("shape", kind.INT64, ["rank"])],
        [("y", kind.FLOAT, ["a", "b"])],
        # No warm-up by zeros or ones succeeds, so the sample shows that the engine is well.
        sample={
            "inputs": [
                {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0, 0, 0, 0]},
                {"name": "shape", "shape": [2], "datatype": "INT64", "data": [2, 2]},
            ]
        },
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory, write, start_server):
    with start_server(list(write_models(tmp_path_factory.mktemp("several"), write))) as server:
        # What the engine says of a bad request is logged; a pipe that nobody reads would hold up the server.
        Thread(target=server.process.stderr.read, daemon=True).start()
        yield server
        assert server.process.poll() is None, "the server died"


@pytest.fixture(scope="module")
def stub(running):
    with grpc.insecure_channel(running.grpc) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def connection(running):
    connection = http.client.HTTPConnection(running.http, timeout=30)
    yield connection
    connection.close()


VALUES = {
    "float32": st.floats(width=32) | st.sampled_from([0.0, 1.0, -2.5, 3e38]),
    "float16": st.floats(width=16),
    "int64": st.integers(0, 2) | st.integers(-4, 4) | st.sampled_from([-(2**63), 2**63 - 1]),
    "int32": st.integers(0, 2) | st.integers(-4, 4) | st.just(2**31 - 1),
    "bool": st.booleans(),
    "object": st.text(max_size=4),
}
STRANGE = st.sampled_from(
    [
        *[None, "AACAPwAAAEA=", "", "1.5", {"b64": "AACAPw=="}, {}, 1.5, -0.0],
        *[[], [[]], [[1], 2], [None], [True], [1e400], [2**70], [math.nan], ["\x00"], [[[[0]]]]],
        *[[2**63], [1.0], ["zwei"], [[0, 1], [2]]],
    ]
)


@st.composite
def tensors(draw, rows, model_inputs):
    """The inputs of a request, right but for what is drawn to be wrong."""
    names = list(model_inputs)
    wrong = draw(st.sampled_from([False] * 3 + [True]))
    if wrong:
        names = draw(st.permutations([*names, draw(st.sampled_from([*names, "nobody", ""]))]))
        names = names[: draw(st.integers(0, len(names)))]
    found = []
    for name in names:
        kind, axes = model_inputs.get(name, ("float32", ("n",)))
        shape = [axis if isinstance(axis, int) else rows for axis in axes]
        if axes == ("rank",):
            shape = [draw(st.integers(1, 3))]
        if wrong and draw(st.booleans()):
            shape = draw(st.lists(st.integers(-1, 4) | st.sampled_from([2**31, 2**63 - 1]), max_size=4))
        count = math.prod(shape)
        count = count if 0 <= count <= 64 else 1
        if wrong and draw(st.booleans()):
            count = draw(st.integers(0, 5))
        datatype = DATATYPES[kind]
        if wrong and draw(st.integers(0, 4)) == 0:
            datatype = draw(st.sampled_from([*DATATYPES.values(), "FP64", "BF16", "", "fp32"]))
        values = draw(st.lists(VALUES[kind], min_size=count, max_size=count))
        strange = draw(STRANGE) if wrong and draw(st.booleans()) else None
        found.append((name, kind, datatype, shape, values, strange))
    return found


@st.composite
def requests(draw):
    model = draw(st.sampled_from(sorted(MODELS)))
    return model, draw(tensors(draw(st.integers(1, 3)), MODELS[model][0]))


def array_of(kind, values):
    with np.errstate(over="ignore"):
        return np.array(values, kind)


def values_of(kind, data, count):
    """What stands in strange `data` after all, flat or nested: [1.0] and [[[[0]]]] are a number; None if not."""
    while isinstance(data, list) and data and all(isinstance(each, list) for each in data):
        data = [value for each in data for value in each]
    types = {"f": (int, float), "i": (int,), "b": (bool,), "O": (str,)}[np.dtype(kind).kind]
    if not isinstance(data, list) or len(data) != count or any(type(each) not in types for each in data):
        return None
    if np.dtype(kind).kind == "i" and any(
        not np.iinfo(kind).min <= each <= np.iinfo(kind).max for each in data
    ):
        return None
    return data


def expected(model, asked, *, as_json=False):
    """What NumPy computes; None if the request is not valid. Strange data are sent in JSON alone."""
    inputs, compute = MODELS[model]
    if sorted(name for name, *_ in asked) != sorted(inputs):
        return None
    feeds, lengths = {}, {}
    for name, kind, datatype, shape, drawn, strange in asked:
        axes, values = inputs[name][1], drawn
        if datatype != DATATYPES[kind] or len(shape) != len(axes):
            return None
        if strange is not None:
            values = values_of(kind, strange, math.prod(shape)) if as_json else None
            if values is None:
                return None
        for axis, length in zip(axes, shape, strict=True):
            right = length >= 1 and lengths.setdefault(axis, length) == length
            if not (right if isinstance(axis, str) else length == axis):
                return None
        if math.prod(shape) != len(values):
            return None
        feeds[name] = array_of(kind, values).reshape(shape)
    row = feeds.get("row", np.zeros(1, int))
    if ((row < -3) | (row > 2)).any():
        return None
    if model == "lengths" and not (
        len(feeds["x"]) == len(feeds["k"]) or 1 in (len(feeds["x"]), len(feeds["k"]))
    ):
        return None
    if model == "reshape" and (feeds["shape"] < -1).any():
        return None
    try:
        with np.errstate(all="ignore"):
            return compute(**feeds)
    except (ValueError, IndexError):
        return None


def raw_of(kind, values):
    array = array_of(kind, values)
    if kind == "object":
        return serialize_byte_tensor(array).item() if len(values) else b""
    return array.tobytes()


def json_request(asked, *, binary):
    """The body, and the length of its JSON if there are binary tensors behind it."""
    inputs, blobs = [], []
    for name, kind, datatype, shape, values, strange in asked:
        tensor = {"name": name, "datatype": datatype, "shape": shape}
        if binary and strange is None:
            blobs.append(raw_of(kind, values))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = values if strange is None else strange
        inputs.append(tensor)
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": False}}).encode()
    return header + b"".join(blobs), len(header) if binary else None


def message(model, asked, *, raw):
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, kind, datatype, shape, values, strange in asked:
        sent = values if strange is None else []
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if strange is not None:
            tensor.parameters["binary_data_size"].int64_param = 4
        if raw:
            request.raw_input_contents.append(raw_of(kind, sent))
        elif DATATYPES[kind] in CONTENTS:
            coded = [value.encode() for value in sent] if kind == "object" else sent
            getattr(tensor.contents, CONTENTS[DATATYPES[kind]]).extend(coded)
    return request


def numbers(data):
    return [float(value) if isinstance(value, str) else value for value in data]


def check_http(connection, request, *, binary):
    model, asked = request
    body, length = json_request(asked, binary=binary)
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    connection.request("POST", f"/v2/models/{model}/infer", body, headers)
    response = connection.getresponse()
    status, content = response.status, json.loads(response.read())
    right = expected(model, asked, as_json=True)
    if right is None:
        assert status in (400, 413), (status, content)
        assert list(content) == ["error"] and "\n" not in content["error"]
        return
    assert status == 200, content
    for output in content["outputs"]:
        array = right[output["name"]]
        assert output["shape"] == list(array.shape)
        if array.dtype == object:
            assert output["data"] == array.ravel().tolist()
        else:
            np.testing.assert_allclose(numbers(output["data"]), array.ravel(), rtol=1e-6, atol=TINY)


def check_grpc(stub, request, *, raw):
    model, asked = request
    right = expected(model, asked)
    halves = not raw and any(kind == "float16" for _, kind, *_ in asked)  # these are always raw
    try:
        answer = stub.ModelInfer(message(model, asked, raw=raw), timeout=30)
    except grpc.RpcError as error:
        refused = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert error.code() in refused, (error.code(), error.details())
        assert right is None or halves, error.details()
        return
    assert right is not None and not halves
    for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True):
        array = right[output.name]
        assert list(output.shape) == list(array.shape)
        if array.dtype == object:
            assert content == raw_of("object", array.ravel().tolist())
        else:
            found = np.frombuffer(content, np.float32).reshape(array.shape)
            np.testing.assert_allclose(found, array, rtol=1e-6, atol=TINY)


WAYS = {
    "json": lambda request, connection, _stub: check_http(connection, request, binary=False),
    "binary": lambda request, connection, _stub: check_http(connection, request, binary=True),
    "grpc raw": lambda request, _connection, stub: check_grpc(stub, request, raw=True),
    "grpc contents": lambda request, _connection, stub: check_grpc(stub, request, raw=False),
}
relaxed = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=150, **relaxed)
@given(request=requests())
def test_any_request(connection, stub, way, request):
    WAYS[way](request, connection, stub)


RIGHT = [[1], [1.5], [[[[0]]]], [2**63], [2**70], [1e400], [math.nan]]
WRONG = [[True], ["1"], [[]], [None], [], [[1], [2]], 1.5]


@pytest.mark.parametrize("way", ["json", "binary"])
@pytest.mark.parametrize(
    "strange, right", [(each, True) for each in RIGHT] + [(each, False) for each in WRONG]
)
def test_strange_data_that_are_right_after_all(connection, way, strange, right):
    asked = [("x", "float32", "FP32", [1], [], strange), ("k", "float32", "FP32", [1], [2.0], None)]
    assert (expected("lengths", asked, as_json=True) is not None) == right
    check_http(connection, ("lengths", asked), binary=way == "binary")


@pytest.mark.slow
def test_any_request_for_five_minutes(connection, stub):
    end, rounds = time.monotonic() + 300, 0

    @settings(max_examples=1000, database=None, **relaxed)
    @given(request=requests(), way=st.sampled_from(sorted(WAYS)))
    def some(request, way):
        WAYS[way](request, connection, stub)

    while time.monotonic() < end:
        some()
        rounds += 1
    assert rounds


@pytest.mark.parametrize(
    "data, found",
    [
        ("AACAPwAAAEAAAIA/AAAAQA==", "base64 text of 16 bytes"),
        (["AACAPwAAAEAAAIA/AAAAQA=="], "base64 text of 16 bytes"),
        ({"b64": "AACAPw=="}, "base64 text of 4 bytes"),
        (["1", "2", "3", "4"], "text"),
        ([{"value": 1}], "JSON objects"),
    ],
)
def test_what_is_sent_as_text_is_named(connection, data, found):
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": data}
    body = json.dumps({"inputs": [tensor]})
    connection.request("POST", "/v2/models/fixed/infer", body)
    response = connection.getresponse()
    assert response.status == 400
    assert json.loads(response.read())["error"] == (
        f"input 'x': 'data' is {found}, but FP32 values are sent as JSON numbers, or as raw bytes behind the JSON "
        "with the parameter 'binary_data_size' (base64 is not part of the protocol)"
    )


@pytest.mark.parametrize(
    "word, value", [("NaN", "NaN"), ("Inf", "Infinity"), ("-Inf", "-Infinity"), ("-Infinity",) * 2]
)
def test_the_bare_words_that_triton_reads(connection, word, value):
    tensors = [{"name": name, "datatype": "FP32", "shape": [1], "data": [1]} for name in ("x", "k")]
    body = json.dumps({"id": 'of "Inf, NaN\\', "inputs": tensors}).replace("[1]}", f"[{word}]}}", 1)
    connection.request("POST", "/v2/models/lengths/infer", body)
    response = connection.getresponse()
    content = json.loads(response.read())
    assert response.status == 200, content
    assert content["outputs"][0]["data"] == [value]
    assert content["id"] == 'of "Inf, NaN\\'
