"""Clients that send too much, too slowly, or never to the end: they are cut off, and everyone else is served."""

import json
import select
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

REQUEST = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
MEBIBYTE = 2**20


def connect(address):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answer(connection):
    """Status and error of the answer, which must come before the connection is closed."""
    received = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
                return int(head[9:12]), json.loads(body)["error"]
    pytest.fail(f"no whole answer: {received[:100]}")


def is_served(address):
    return httpx.post(f"http://{address}/v2/models/double/infer", json=REQUEST).status_code == 200


@pytest.fixture
def bundle(tmp_path, write):
    return write.double(tmp_path / "double")


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"GET /"], ids=["header", "path"])
def test_an_endless_head_is_cut_off(bundle, start_server, start):
    with start_server([bundle]) as running, connect(running.http) as connection:
        connection.sendall(start)
        sent = 0
        with suppress(ConnectionError):
            while sent < 64 * MEBIBYTE:
                sent += connection.send(b"a" * 65536)
        assert sent < 16 * MEBIBYTE  # what the kernel's buffers take
        assert is_served(running.http)


def test_many_headers_are_refused(bundle, start_server):
    with start_server([bundle]) as running, connect(running.http) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(100):
            connection.sendall(b"X: " + b"b" * 1000 + b"\r\n")
            time.sleep(0.001)
            if select.select([connection], [], [], 0)[0]:
                break
        status, error = answer(connection)
        assert (status, "65536 bytes" in error) == (431, True)
        assert is_served(running.http)


def test_a_slow_head_and_a_slow_body_are_cut_off(bundle, start_server):
    with (
        start_server([bundle], head_seconds=0.5, request_timeout=0.5) as running,
        connect(running.http) as head,
        connect(running.http) as body,
        connect(running.http) as silent,
    ):
        head.sendall(b"POST /v2/models/double/infer HT")
        body.sendall(b"POST /v2/models/double/infer HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        status, error = answer(head)
        assert (status, "headers did not arrive" in error) == (408, True)
        status, error = answer(body)
        assert (status, "body did not arrive" in error) == (408, True)
        assert silent.recv(100) == b""
        with httpx.Client(base_url=f"http://{running.http}") as client:
            for _ in range(3):  # a connection that waits for its next request is not in a head
                assert client.post("/v2/models/double/infer", json=REQUEST).status_code == 200
                time.sleep(0.6)


def test_a_slow_answer_is_no_slow_head(bundle, start_server):
    with start_server([bundle], head_seconds=0.3, cost=1.0) as running, connect(running.http) as connection:
        content = json.dumps(REQUEST).encode()
        head = f"POST /v2/models/double/infer HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        connection.sendall(head + content + b"GET /v2/health/li")
        received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200") and b"408" not in received


def test_all_bodies_together_are_bounded(bundle, start_server):
    with start_server([bundle], body_limit=MEBIBYTE) as running:
        head = f"POST /v2/models/double/infer HTTP/1.1\r\nContent-Length: {MEBIBYTE}\r\n\r\n".encode()
        held = [connect(running.http) for _ in range(30)]
        for connection in held:
            connection.sendall(head + b" " * (MEBIBYTE - 1000))
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        assert int(status.split("VmRSS:")[1].split()[0]) < 400 * 1024
        refused = 0
        for connection in held:
            connection.sendall(b" " * 1000)
            code, error = answer(connection)
            refused += code == 503
            assert code in (400, 503), error
            connection.close()
        assert refused >= 10
        for _ in range(200):
            if is_served(running.http):
                return
        pytest.fail("what was held is not given back")
