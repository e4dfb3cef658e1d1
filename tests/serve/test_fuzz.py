"""Whatever is sent over HTTP, a server answers it without a 500, and goes on.

The codec by itself is fuzzed in test_codec.py. ``DASHDEPLOY_FUZZ_EXAMPLES`` sets how many examples per
operation schemathesis tries, and hypothesis two hundred times as many: 700 makes more than five minutes of each.
"""

import http.client
import json
import os
import subprocess
import sys

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("DASHDEPLOY_FUZZ_EXAMPLES", "100"))
TENSOR = np.arange(4, dtype=np.float32).tobytes()
GOOD = {
    "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
    "parameters": {"binary_data_output": True},
}


@st.composite
def damaged_requests(draw):
    """A good binary request with some of its bytes changed, cut out or put in, and any header length."""
    header = json.dumps(GOOD).encode()
    body = bytearray(header + TENSOR)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        match draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                body[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del body[at : at + draw(st.integers(1, 40))]
            case "insert":
                body[at:at] = draw(st.binary(max_size=8))
    length = draw(
        st.just(str(len(header)))
        | st.integers(-2, len(body) + 2).map(str)
        | st.text("0123456789-+. x", max_size=6)
    )
    encoding = draw(st.sampled_from([None, None, None, "gzip", "deflate", "identity", "x"]))
    return bytes(body), length.strip(), encoding


def exchange(server, request):
    body, length, encoding = request
    headers = {"Inference-Header-Content-Length": length}
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    connection = http.client.HTTPConnection(server, timeout=30)
    try:
        connection.request("POST", "/v2/models/double/infer", body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check(server, request):
    status, content = exchange(server, request)
    assert status in (200, 400, 413, 501)
    if status != 200:
        assert list(json.loads(content)) == ["error"]


relaxed = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=150, **relaxed)
@given(damaged=damaged_requests())
def test_damaged_binary_requests(server, damaged):
    check(server, damaged)


@pytest.mark.slow
@settings(max_examples=200 * EXAMPLES, **relaxed)
@given(damaged=damaged_requests())
def test_very_many_damaged_binary_requests(server, damaged):
    check(server, damaged)


def test_the_description_names_what_is_there(server):
    described = httpx.get(f"http://{server}/openapi.json").json()
    for path, item in described["paths"].items():
        if "get" in item:
            filled = path.replace("{model}", "double").replace("{version}", "1")
            assert httpx.get(f"http://{server}{filled}").status_code == 200, path


@pytest.mark.slow
def test_schemathesis_finds_nothing(server, tmp_path):
    """Examples from the description and against it, by schemathesis, for a minute or as long as is asked."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(aimed(httpx.get(f"http://{server}/openapi.json").json())))
    command = [
        sys.executable,
        "-c",
        "from schemathesis.cli import schemathesis; schemathesis()",
        "run",
        description,
        "--url",
        f"http://{server}",
    ]
    checks = ["not_a_server_error", "status_code_conformance", "content_type_conformance"]
    checks += ["response_schema_conformance"]
    command += ["--checks", ",".join(checks), "--phases", "coverage,fuzzing", "--request-timeout", "30"]
    command += ["--max-examples", str(EXAMPLES), "--no-color"]
    # Refused with 503 unless enabled, as in Triton, which is not a fault of the server.
    command += ["--exclude-path-regex", "repository/models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=1800)
    print(done.stdout[-600:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert httpx.get(f"http://{server}/v2/health/live").status_code == 200


def aimed(description):
    """The description with names that exist, so that not every example ends with an unknown model."""
    for path, item in description["paths"].items():
        for parameter in item.get("parameters", []):
            names = {"model": ["double", "divide", "identity", "text", "nobody"], "version": ["1", "2", "x"]}
            parameter["schema"] = {"enum": names[parameter["name"]]}
        assert path.startswith("/v2")
    tensor = description["components"]["schemas"]["InputTensor"]["properties"]
    tensor["name"] = {"enum": ["x", "a", "b", "words", "in_float32", "in_bool"]}
    tensor["shape"]["items"] = {"enum": [0, 1, 2, 3, 4]}
    tensor["data"]["items"] = {"type": ["number", "string", "boolean", "integer", "null", "array"]}
    return description
