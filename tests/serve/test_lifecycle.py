"""Starting, refusing to start, draining and stopping."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from dashdeploy.errors import InputError
from dashdeploy.serve.server import serve
from dashdeploy.serve.settings import ServeSettings


def infer_slowly(address, steps):
    connection = http.client.HTTPConnection(address, timeout=60)
    tensor = {"name": "steps", "shape": [1], "datatype": "INT64", "data": [steps]}
    connection.request("POST", "/v2/models/slow/infer", json.dumps({"inputs": [tensor]}))
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def steps_that_take(address, seconds):
    start = time.perf_counter()
    infer_slowly(address, 200)
    return round(200 * seconds / (time.perf_counter() - start))


class InBackground(threading.Thread):
    """Runs a slow inference; `result` is its answer, `done_at` when it came."""

    def __init__(self, address, steps):
        super().__init__()
        self.address, self.steps, self.result, self.done_at = address, steps, None, None
        self.start()

    def run(self):
        self.result = infer_slowly(self.address, self.steps)
        self.done_at = time.perf_counter()


def test_the_event_loop_answers_while_a_model_runs(slow_server):
    _, address = slow_server
    slow = InBackground(address, steps_that_take(address, 1.0))
    time.sleep(0.2)
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().status == 200
    answered_at = time.perf_counter()
    slow.join()
    assert answered_at < slow.done_at
    assert slow.result[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0(slow_server, number):
    process, address = slow_server
    idle = http.client.HTTPConnection(address, timeout=30)  # a kept-alive connection must not hold the server
    idle.request("GET", "/v2/health/ready")
    assert idle.getresponse().read() == b'{"ready":true}'
    steps = steps_that_take(address, 1.0)
    slow = InBackground(address, steps)
    time.sleep(0.3)
    process.send_signal(number)
    slow.join()
    assert slow.result[0] == 200
    assert slow.result[1]["outputs"][0]["data"] == [steps]
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address.split(":"))


def test_port_in_use_is_one_clear_line(double_bundle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"`http_port={port}`: already in use"):
            serve([double_bundle], ServeSettings(http_port=port))


@pytest.mark.parametrize(
    "host, port, message",
    [
        ("127.0.0.1", 70000, "`http_port=70000`: not a port"),
        ("192.0.2.1", 0, "`host=192.0.2.1`: not an address of this machine"),
        ("no such host", 0, "`host=no such host`: not an address"),
    ],
)
def test_address_that_cannot_be_bound(double_bundle, host, port, message):
    with pytest.raises(InputError, match=message):
        serve([double_bundle], ServeSettings(host=host, http_port=port, allow_remote=True))


def test_damaged_bundle_is_refused_before_the_port_is_looked_at(double_bundle):
    model = double_bundle / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx does not match the sha256"):
        serve([double_bundle], ServeSettings(http_port=70000, grpc_port=0))


def test_duplicate_names_are_refused(named_double_bundle):
    bundles = [named_double_bundle("one", "same"), named_double_bundle("two", "same")]
    with pytest.raises(InputError, match="both hold a model named 'same'"):
        serve(bundles, ServeSettings(http_port=0, grpc_port=0))


def test_name_with_a_slash_is_refused(named_double_bundle):
    with pytest.raises(InputError, match="cannot be part of a URL"):
        serve([named_double_bundle("one", "a/b")], ServeSettings(http_port=0, grpc_port=0))


def test_nothing_to_serve_is_refused():
    with pytest.raises(InputError, match="no bundle to serve"):
        serve([], ServeSettings(http_port=0, grpc_port=0))


def test_manifest_that_contradicts_its_model_is_refused(double_bundle):
    path = double_bundle / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"][0]["dtype"] = "float64"
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="the manifest's inputs are"):
        serve([double_bundle], ServeSettings(http_port=0, grpc_port=0))


def test_a_missing_extra_is_named(double_bundle):
    # None in sys.modules makes the import fail as it does where the extra was never installed.
    code = (
        "import sys\n"
        "sys.modules['uvicorn'] = None\n"
        "from pathlib import Path\n"
        "from dashdeploy.errors import MissingCapabilityError\n"
        "from dashdeploy.serve.server import serve\n"
        "try:\n"
        "    serve([Path(sys.argv[1])])\n"
        "except MissingCapabilityError as error:\n"
        "    print(error)\n"
        "    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(double_bundle)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stdout == "uvicorn is not installed; install it with: pip install 'dashdeploy[serve]'\n"
