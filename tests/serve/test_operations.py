"""Several models and versions, model control, keys, TLS, logs, limits; starts that are refused in one line."""

import gzip
import http.client
import json
import socket
import ssl
import subprocess
import sys
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner

from dashdeploy.cli.app import app

REQUEST = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
INFER = "/v2/models/double/infer"


def test_versions_of_a_model_in_a_folder_of_bundles(tmp_path, write, start_server):
    for version in ("1", "2", "10"):
        write.double(tmp_path / "all" / "double" / version, name="double", version=version)
    write.gather(tmp_path / "all" / "gather")
    with start_server([tmp_path / "all"]) as running, triton.InferenceServerClient(running.http) as client:
        assert client.get_model_metadata("double")["versions"] == ["10", "2", "1"]
        x = triton.InferInput("x", [1, 4], "FP32").set_data_from_numpy(np.ones((1, 4), np.float32))
        assert client.infer("double", [x]).get_response()["model_version"] == "10"
        assert client.infer("double", [x], model_version="2").get_response()["model_version"] == "2"
        assert client.is_model_ready("gather")
    with start_server(
        [tmp_path / "all"], version_policies={"": {"latest": 2}}, reload_seconds=0.1
    ) as running:
        url = f"http://{running.http}/v2/models/double"
        assert httpx.get(url).json()["versions"] == ["10", "2"]
        assert httpx.get(f"{url}/versions/1").status_code == 404
        write.double(tmp_path / "all" / "double" / "11", name="double", version="11")
        for _ in range(200):
            if httpx.get(url).json()["versions"] == ["11", "10"]:
                break
        else:
            pytest.fail("a new version is not served")


def test_model_control(tmp_path, write, start_server):
    bundles = [write.double(tmp_path / "double"), write.gather(tmp_path / "gather")]
    with start_server(bundles, allow_model_control=True) as running:
        with triton.InferenceServerClient(running.http) as client:
            client.unload_model("double")
            assert not client.is_model_ready("double")
            index = {model["name"]: model["state"] for model in client.get_model_repository_index()}
            assert index == {"double": "UNAVAILABLE", "gather": "READY"}
            assert client.is_server_ready()
        with triton_grpc.InferenceServerClient(running.grpc) as client:
            assert [model.name for model in client.get_model_repository_index().models] == [
                "double",
                "gather",
            ]
            client.load_model("double")
            assert client.is_model_ready("double")
            with pytest.raises(InferenceServerException, match="nobody"):
                client.load_model("nobody")


def test_model_control_is_off_by_default(server):
    for action in ("load", "unload"):
        response = httpx.post(f"http://{server}/v2/repository/models/double/{action}")
        assert response.status_code == 503
        assert "`allow_model_control=True`" in response.json()["error"]


def test_config_statistics_and_index(server):
    with triton.InferenceServerClient(server) as client:
        config = client.get_model_config("double")
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
        assert config["max_batch_size"] == 32
        (before,) = client.get_inference_statistics("double")["model_stats"]
        x = triton.InferInput("x", [3, 4], "FP32").set_data_from_numpy(np.ones((3, 4), np.float32))
        client.infer("double", [x])
        (after,) = client.get_inference_statistics("double", "1")["model_stats"]
        assert after["inference_count"] == before["inference_count"] + 3
        assert any(batch["batch_size"] == 3 for batch in after["batch_stats"])
        assert len(client.get_inference_statistics()["model_stats"]) == 5
        index = client.get_model_repository_index()
        assert {"name": "double", "version": "1", "state": "READY", "reason": ""} in index


def test_classes_labels_and_text(server):
    with triton.InferenceServerClient(server) as client:
        x = triton.InferInput("x", [2, 4], "FP32")
        x.set_data_from_numpy(np.array([[0.5, 2, -1, 1.25], [np.nan, 0, 0, 0]], np.float32))
        top = client.infer("double", [x], outputs=[triton.InferRequestedOutput("y", class_count=2)])
        assert top.as_numpy("y").tolist() == [
            [b"4.000000:1:one", b"2.500000:3:three"],
            [b"0.000000:1:one", b"0.000000:2:two"],
        ]
        for binary in (True, False):
            words = triton.InferInput("words", [1, 3], "BYTES")
            words.set_data_from_numpy(np.array([["", "a", "größer"]], object), binary_data=binary)
            outputs = [triton.InferRequestedOutput("copy", binary_data=binary)]
            copy = client.infer("text", [words], outputs=outputs).as_numpy("copy")
            found = [word.decode() if isinstance(word, bytes) else word for word in copy[0]]
            assert found == ["", "a", "größer"]


def test_the_sample_of_a_bundle_can_be_sent_as_it_is(server):
    url = f"http://{server}/v2/models/double"
    sample = httpx.get(f"{url}/versions/1/sample")
    answer = httpx.post(f"{url}/infer", content=sample.content).json()
    assert answer["outputs"][0]["data"] == [10, 12, 16, 14]
    none = httpx.get(f"http://{server}/v2/models/text/sample")
    assert (none.status_code, list(none.json())) == (404, ["error"])


def test_raw_binary_input_in_chunks(server):
    x = np.arange(8, dtype=np.float32)
    response = httpx.post(
        f"http://{server}{INFER}",
        content=(part.tobytes() for part in np.split(x, 4)),
        headers={"Inference-Header-Content-Length": "0"},
    )
    length = int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(response.content[:length])["outputs"][0]["shape"] == [2, 4]
    np.testing.assert_array_equal(np.frombuffer(response.content[length:], np.float32), 2 * x)
    wrong = httpx.post(
        f"http://{server}{INFER}", content=b"123", headers={"Inference-Header-Content-Length": "0"}
    )
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    "accepted, encoding",
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip;q=0, deflate", "deflate"), ("br", None), ("*", "gzip")],
)
def test_answers_are_compressed_as_accepted(server, accepted, encoding):
    request = {"inputs": [{"name": "x", "shape": [64, 4], "datatype": "FP32", "data": [1] * 256}]}
    connection = http.client.HTTPConnection(server, timeout=30)
    connection.request("POST", INFER, json.dumps(request), {"Accept-Encoding": accepted})
    response = connection.getresponse()
    body = response.read()
    assert response.headers["Content-Encoding"] == encoding
    plain = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding](body)
    assert json.loads(plain)["outputs"][0]["data"] == [2] * 256


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_triton_client_takes_compressed_answers(server, algorithm):
    x = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    with triton.InferenceServerClient(server) as client:
        tensor = triton.InferInput("x", x.shape, "FP32").set_data_from_numpy(x)
        result = client.infer("double", [tensor], response_compression_algorithm=algorithm)
        np.testing.assert_array_equal(result.as_numpy("y"), 2 * x)


def test_api_keys(tmp_path, write, start_server):
    with start_server([write.double(tmp_path / "double")], api_keys=["one", "two"]) as running:
        url = f"http://{running.http}"
        for path in ("/v2", "/v2/models/double", "/metrics", "/v2/repository/index"):
            response = httpx.get(url + path)
            assert response.status_code == 401
            assert list(response.json()) == ["error"]
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert httpx.get(f"{url}/v2", headers={"Authorization": "Bearer three"}).status_code == 401
        assert httpx.get(f"{url}/v2", headers={"Authorization": "Basic two"}).status_code == 401
        assert httpx.get(f"{url}/v2/health/ready").status_code == 200
        with triton.InferenceServerClient(running.http) as client:
            assert client.get_model_metadata("double", headers={"Authorization": "Bearer two"})
        with triton_grpc.InferenceServerClient(running.grpc) as client:
            assert client.is_server_ready()
            with pytest.raises(InferenceServerException) as error:
                client.get_model_metadata("double")
            assert error.value.status() == "StatusCode.UNAUTHENTICATED"
            assert client.get_model_metadata("double", headers={"authorization": "Bearer one"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    names = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command, "-out", names[0], "-keyout", names[1]], check=True, capture_output=True, timeout=30
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return names


def test_tls_on_both_ports(tmp_path, write, start_server, certificate):
    options = {"tls_certificate": str(certificate[0]), "tls_key": str(certificate[1])}
    with start_server([write.double(tmp_path / "double")], **options) as running:
        trust = ssl.create_default_context(cafile=certificate[0])
        assert httpx.post(f"https://{running.http}{INFER}", json=REQUEST, verify=trust).status_code == 200
        with triton_grpc.InferenceServerClient(
            running.grpc, ssl=True, root_certificates=str(certificate[0])
        ) as client:
            assert client.is_model_ready("double")


def test_the_access_log_has_a_line_per_request(tmp_path, write, start_server):
    log = tmp_path / "access.log"
    with start_server([write.double(tmp_path / "double")], access_log=str(log)) as running:
        httpx.post(f"http://{running.http}{INFER}", json=REQUEST)
        httpx.get(f"http://{running.http}/nowhere")
        with triton_grpc.InferenceServerClient(running.grpc) as client:
            client.is_model_ready("double")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["protocol"], entry["request"], entry["status"]) for entry in entries] == [
        ("http", f"POST {INFER}", 200),
        ("http", "GET /nowhere", 404),
        ("grpc", "ModelReady", "OK"),
    ]
    assert all(0 < entry["ms"] < 30_000 and entry["client"] for entry in entries)


def test_a_client_may_shorten_the_timeout(tmp_path, write, start_server):
    with start_server([write.double(tmp_path / "double")], cost=0.3) as running:
        response = httpx.post(
            f"http://{running.http}{INFER}", json=REQUEST | {"parameters": {"timeout": 50_000}}
        )
        assert response.status_code == 504
        assert "timeout" in response.json()["error"]
        assert httpx.post(f"http://{running.http}{INFER}", json=REQUEST).status_code == 200


COMMAND = Path(sys.executable).with_name("dashdeploy")


def refused(*arguments):
    """Start the server as users do; it must exit 1 after one line."""
    done = subprocess.run(
        [COMMAND, "serve", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_second_server_on_one_port_is_refused(tmp_path, write, start_server):
    bundle = write.double(tmp_path / "double")
    with start_server([bundle]) as running:
        port = running.http.rpartition(":")[2]
        line = refused(bundle, "--http-port", port, "--grpc-port", "0")
        assert line.startswith(f"error: --http-port {port}: already in use on 127.0.0.1")
        port = running.grpc.rpartition(":")[2]
        line = refused(bundle, "--http-port", "0", "--grpc-port", port)
        assert line.startswith(f"error: --grpc-port {port}: already in use on 127.0.0.1")


def test_a_port_that_something_else_has_is_refused(tmp_path, write):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(write.double(tmp_path / "double"), "--http-port", "0", "--grpc-port", port)
        assert f"--grpc-port {port}: already in use" in line


def test_starts_that_are_refused_in_one_line(tmp_path, write, certificate):
    bundle = write.double(tmp_path / "double")
    twin = write.double(tmp_path / "twin", name="double")
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken.pem"
    broken.write_text("no key")
    tls = ["--tls-certificate", certificate[0], "--tls-key"]
    cases = {
        "is not a bundle and holds none": [empty],
        "missing.pem: cannot be read": [bundle, *tls, tmp_path / "missing.pem"],
        "not a PEM certificate and its private key": [bundle, *tls, broken],
        "give both or neither": [bundle, "--tls-key", certificate[1]],
        "add --allow-remote": [bundle, "--host", "0.0.0.0"],
        "/dev/null: the file holds no key; write one": [bundle, "--api-key-file", "/dev/null"],
        "larger than --max-batch": [bundle, "--max-batch", "4", "--preferred-batches", "8"],
        "not a collector's URL": [bundle, "--traces", "127.0.0.1:4318"],
        "cannot be written": [bundle, "--access-log", tmp_path / "no" / "folder" / "log"],
        f"write one with: dashdeploy export RUN --out {empty / 'MODEL'}": [empty],
        "in version 1; export one of them again with another --name or version": [bundle, twin],
        "and consider --api-key-file and --tls-certificate": [bundle, "--host", "0.0.0.0"],
        "--batch-delay 20000: use 0 to 10000 milliseconds": [bundle, "--batch-delay", "20000"],
        "--preferred-batches 64: larger than --max-batch 32; raise --max-batch": [
            bundle,
            "--preferred-batches",
            "64",
        ],
    }
    for message, arguments in cases.items():
        ports = [] if "--host" in arguments else ["--http-port", "0", "--grpc-port", "0"]
        result = CliRunner().invoke(app, ["serve", *map(str, arguments), *ports])
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ") and message in line
