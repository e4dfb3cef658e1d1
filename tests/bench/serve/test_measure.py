"""bench serve on a bundle made by hand: figures are there and consistent; how large they are is not asserted."""

import json

import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.serve.measure import measure_serving
from dashdeploy.bench.serve.raw_http import RawHttpConnection
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError


def test_measures_overhead_and_throughput(written_bundle):
    report = measure_serving(Bundle.load(written_bundle), seconds=0.3, connections=4)
    own, over_http, over_grpc = report.overhead
    assert [row.protocol for row in report.overhead] == ["in process", "HTTP", "gRPC"]
    assert own.overhead_p50_ms == 0
    assert 0 < own.p50_ms < min(over_http.p50_ms, over_grpc.p50_ms)
    (row,) = report.throughput
    assert (row.server, row.encoding, row.connections, row.refused) == ("dashdeploy", "binary", 4, 0)
    assert row.per_second > 0
    assert 0 < row.p50_ms <= row.p99_ms
    assert "overhead p50 ms" in report.text()


def test_the_command_writes_json_and_a_report(written_bundle, tmp_path, fits_schema):
    file, page = tmp_path / "serve.json", tmp_path / "serve.html"
    arguments = ["bench", "serve", written_bundle, "--seconds", "0.2", "--connections", "2", "--json", file]
    arguments += ["--report", page]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert "requests/s" in result.stdout
    assert fits_schema("serve", file.read_text())["throughput"][0]["connections"] == 2
    assert "Many requests at once" in page.read_text()


def test_a_refusal_is_an_error(written_bundle):
    from dashdeploy.bench.serve.server_process import server_process

    with server_process(written_bundle, 1) as (address, _):
        connection = RawHttpConnection(address, timeout=30)
        with pytest.raises(InputError, match="404"):
            connection.exchange(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert json.loads(connection.exchange(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"))
