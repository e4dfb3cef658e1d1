"""Requests that are refused: the status code and the error body, on the wire."""

import gzip
import http.client
import json
import socket
import zlib

import numpy as np
import pytest

from dashdeploy.serve.settings import DEFAULT_BODY_LIMIT

INFER = "/v2/models/double/infer"
INPUT = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
BINARY = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
TENSOR = np.arange(4, dtype=np.float32).tobytes()


@pytest.fixture
def exchange(server):
    def send(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(server, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    return send


def test_a_plain_request_is_answered(exchange):
    status, content = exchange("POST", INFER, json.dumps({"inputs": [INPUT]}))
    assert status == 200
    assert content["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2, 4, 6, 8]}]


def test_nested_data_is_taken_as_well_as_flat(exchange):
    status, content = exchange("POST", INFER, json.dumps({"inputs": [INPUT | {"data": [[1, 2], [3, 4.5]]}]}))
    assert (status, content["outputs"][0]["data"]) == (200, [2, 4, 6, 9])


REFUSED_JSON = {
    "not JSON": b"{",
    "not an object": b"[]",
    "empty body": b"",
    "no inputs": {},
    "inputs not an array": {"inputs": 5},
    "input not an object": {"inputs": [5]},
    "input without name": {"inputs": [{"shape": [1, 4]}]},
    "missing input": {"inputs": []},
    "unknown input": {"inputs": [INPUT, INPUT | {"name": "z"}]},
    "input twice": {"inputs": [INPUT, INPUT]},
    "wrong datatype": {"inputs": [INPUT | {"datatype": "FP64"}]},
    "datatype unheard of": {"inputs": [INPUT | {"datatype": ["FP32"]}]},
    "wrong rank": {"inputs": [INPUT | {"shape": [4]}]},
    "wrong fixed length": {"inputs": [INPUT | {"shape": [2, 2]}]},
    "batch of zero": {"inputs": [INPUT | {"shape": [0, 4], "data": []}]},
    "negative dimension": {"inputs": [INPUT | {"shape": [-1, 4]}]},
    "fractional dimension": {"inputs": [INPUT | {"shape": [1.0, 4]}]},
    "boolean dimension": {"inputs": [INPUT | {"shape": [True, 4]}]},
    "shape missing": {"inputs": [{k: v for k, v in INPUT.items() if k != "shape"}]},
    "too few values": {"inputs": [INPUT | {"data": [1, 2, 3]}]},
    "no data": {"inputs": [{k: v for k, v in INPUT.items() if k != "data"}]},
    "data a number": {"inputs": [INPUT | {"data": 1}]},
    "data a string": {"inputs": [INPUT | {"data": "abcd"}]},
    "strings in data": {"inputs": [INPUT | {"data": [1, 2, 3, "4"]}]},
    "null in data": {"inputs": [INPUT | {"data": [1, 2, 3, None]}]},
    "booleans in data": {"inputs": [INPUT | {"data": [1, 2, 3, True]}]},
    "values beside arrays": {"inputs": [INPUT | {"data": [[1, 2, 3], 4]}]},
    "binary size in a JSON request": {"inputs": [BINARY]},
    "parameters not an object": {"inputs": [INPUT | {"parameters": 1}]},
    "id not a string": {"inputs": [INPUT], "id": 7},
    "outputs not objects": {"inputs": [INPUT], "outputs": ["y"]},
    "unknown output": {"inputs": [INPUT], "outputs": [{"name": "z"}]},
    "binary_data not a flag": {
        "inputs": [INPUT],
        "outputs": [{"name": "y", "parameters": {"binary_data": 1}}],
    },
    "classification into no classes": {
        "inputs": [INPUT],
        "outputs": [{"name": "y", "parameters": {"classification": 0}}],
    },
    "timeout not a number": {"inputs": [INPUT], "parameters": {"timeout": "soon"}},
    "deep nesting": b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep nesting with NaN": b'{"inputs":' + b"[" * 100_000 + b"NaN" + b"]" * 100_000 + b"}",
    "lone surrogate": b'{"inputs": [NaN], "id": "\\ud800"}',
    "lone surrogate in a name": b'{"inputs": [{"name": "\\ud800", "data": NaN}]}',
    "not UTF-8": b'{"inputs": "\xff"}',
}


@pytest.mark.parametrize("body", REFUSED_JSON.values(), ids=REFUSED_JSON)
def test_json_that_is_refused(exchange, body):
    status, content = exchange("POST", INFER, body if isinstance(body, bytes) else json.dumps(body))
    assert status == 400
    assert list(content) == ["error"]
    assert 0 < len(content["error"]) < 600
    assert "\n" not in content["error"]


def test_a_shape_beyond_the_limit_is_refused(exchange):
    status, content = exchange("POST", INFER, json.dumps({"inputs": [INPUT | {"shape": [2**62, 4]}]}))
    assert status == 413
    assert "limit" in content["error"]


@pytest.mark.parametrize(
    "datatype, value",
    [
        ("INT8", 128),
        ("INT8", -129),
        ("UINT8", -1),
        ("UINT64", 2**64),
        ("INT32", 1.0),
        ("INT64", True),
        ("BOOL", 1),
    ],
)
def test_values_that_the_type_does_not_hold(exchange, datatype, value):
    name = "in_" + {"BOOL": "bool"}.get(datatype, datatype.lower())
    tensor = {"name": name, "shape": [1, 3], "datatype": datatype, "data": [value] * 3}
    status, content = exchange("POST", "/v2/models/identity/infer", json.dumps({"inputs": [tensor]}))
    assert status == 400
    assert name in content["error"]
    assert datatype in content["error"]


def binary_body(content, *tensors):
    header = json.dumps(content).encode()
    return header + b"".join(tensors), len(header)


REFUSED_BINARY = {
    "size too small": ({"inputs": [BINARY | {"parameters": {"binary_data_size": 12}}]}, TENSOR[:12], None),
    "size too large": (
        {"inputs": [BINARY | {"parameters": {"binary_data_size": 20}}]},
        TENSOR + b"1234",
        None,
    ),
    "size negative": ({"inputs": [BINARY | {"parameters": {"binary_data_size": -16}}]}, TENSOR, None),
    "size a string": ({"inputs": [BINARY | {"parameters": {"binary_data_size": "16"}}]}, TENSOR, None),
    "size true": ({"inputs": [BINARY | {"parameters": {"binary_data_size": True}}]}, TENSOR, None),
    "body too short": ({"inputs": [BINARY]}, TENSOR[:-1], None),
    "body too long": ({"inputs": [BINARY]}, TENSOR + b"1", None),
    "both kinds of data": ({"inputs": [BINARY | {"data": [1, 2, 3, 4]}]}, TENSOR, None),
    "header length no number": ({"inputs": [BINARY]}, TENSOR, "ten"),
    "header length zero": ({"inputs": [BINARY]}, TENSOR, "0"),
    "header length negative": ({"inputs": [BINARY]}, TENSOR, "-5"),
    "header length with sign": ({"inputs": [BINARY]}, TENSOR, "+5"),
    "header length past the end": ({"inputs": [BINARY]}, TENSOR, "100000"),
    "header length beyond integers": ({"inputs": [BINARY]}, TENSOR, "9" * 5000),
    "header length cuts the JSON": ({"inputs": [BINARY]}, TENSOR, "20"),
    "header length empty": ({"inputs": [BINARY]}, TENSOR, ""),
}


@pytest.mark.parametrize("content, tensor, header_length", REFUSED_BINARY.values(), ids=REFUSED_BINARY)
def test_binary_that_is_refused(exchange, content, tensor, header_length):
    body, length = binary_body(content, tensor)
    headers = {"Inference-Header-Content-Length": str(length) if header_length is None else header_length}
    status, answer = exchange("POST", INFER, body, headers)
    assert status == 400
    assert list(answer) == ["error"]


def test_a_binary_boolean_is_zero_or_one(exchange):
    tensor = {"name": "in_bool", "shape": [1, 3], "datatype": "BOOL", "parameters": {"binary_data_size": 3}}
    body, length = binary_body({"inputs": [tensor]}, b"\x00\x01\x02")
    headers = {"Inference-Header-Content-Length": str(length)}
    status, answer = exchange("POST", "/v2/models/identity/infer", body, headers)
    assert status == 400
    assert "BOOL" in answer["error"]


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v2/", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 400),
        ("GET", "/v2/models/double/versions/2", 404),
        ("GET", "/v2/models/double/versions/one", 400),
        ("POST", "/v2/models/nobody/infer", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/health/live", 405),
        ("DELETE", "/v2/models/double", 405),
    ],
)
def test_routes_that_are_not_there(exchange, method, path, status):
    found, content = exchange(method, path)
    assert found == status
    assert list(content) == ["error"]


@pytest.mark.parametrize(
    "message",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /v2/models/double/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["no request", "bad length", "bad chunk", "endless path"],
)
def test_what_is_not_http_is_answered_with_an_error_body(server, message):
    host, port = server.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(message)
        response = http.client.HTTPResponse(connection)
        response.begin()
        # An endless head is 431, unless all of it was there at once and the parser found it to be no request.
        assert response.status in ((400, 431) if len(message) > 65536 else (400,))
        assert list(json.loads(response.read())) == ["error"]


def test_a_long_path_is_not_repeated_in_full(exchange):
    status, content = exchange("GET", "/" + "a" * 5000)
    assert status == 404
    assert len(content["error"]) < 600


def test_oversized_body_is_refused_and_heard(exchange):
    status, content = exchange("POST", INFER, b" " * (DEFAULT_BODY_LIMIT + 1))
    assert status == 413
    assert str(DEFAULT_BODY_LIMIT) in content["error"]


def test_oversized_chunked_body_is_refused(exchange):
    status, _ = exchange("POST", INFER, (b" " * 2**20 for _ in range(DEFAULT_BODY_LIMIT // 2**20 + 1)))
    assert status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_decompression_bomb_is_refused(exchange, encoding):
    bomb = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    body = bomb.compress(b" " * (DEFAULT_BODY_LIMIT + 1)) + bomb.flush()
    assert len(body) < 1_000_000
    status, _ = exchange("POST", INFER, body, {"Content-Encoding": encoding})
    assert status == 413


@pytest.mark.parametrize(
    "body, encoding, status",
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-3], "gzip", 400),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", 400),
        (b"{}", "br", 501),
    ],
)
def test_damaged_compression_is_refused(exchange, body, encoding, status):
    found, content = exchange("POST", INFER, body, {"Content-Encoding": encoding})
    assert found == status
    assert list(content) == ["error"]


def test_a_client_that_hangs_up_in_the_middle_does_no_harm(server, exchange):
    host, port = server.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
    assert exchange("GET", "/v2/health/live") == (200, {"live": True})
