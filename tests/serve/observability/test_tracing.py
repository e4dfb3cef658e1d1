"""OpenTelemetry traces, as a collector gets them: over HTTP, in OTLP."""

import gzip
import http.server
import threading

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

trace_service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the otel extra is not installed"
)

REQUEST = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector():
    """A collector's URL and the requests that it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            got.append((self.path, trace_service.ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def attributes(span):
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_spans_of_both_protocols_reach_a_collector(tmp_path, write, start_server, collector):
    url, got = collector
    bundles = [write.double(tmp_path / "double"), write.gather(tmp_path / "gather")]
    switch = tmp_path / "broken"
    with start_server(bundles, traces=url, breaks=str(switch)) as running:
        base = f"http://{running.http}"
        carried = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert httpx.post(f"{base}/v2/models/double/infer", json=REQUEST, headers=carried).status_code == 200
        bad = {"inputs": [{"name": "index", "shape": [1], "datatype": "INT64", "data": [99]}]}
        assert httpx.post(f"{base}/v2/models/gather/infer", json=bad).status_code == 400
        assert httpx.get(f"{base}/secret/4711").status_code == 404
        httpx.get(f"{base}/v2/health/ready")
        httpx.get(f"{base}/metrics")
        with triton_grpc.InferenceServerClient(running.grpc) as client:
            x = triton_grpc.InferInput("x", [2, 4], "FP32").set_data_from_numpy(np.ones((2, 4), np.float32))
            client.infer("double", [x], headers=carried)
            with pytest.raises(triton_grpc.InferenceServerException):
                client.infer("nobody", [x])
            answers = []
            client.start_stream(lambda result, error: answers.append((result, error)))
            client.async_stream_infer("double", [x])
            client.stop_stream()
            assert len(answers) == 1
        switch.touch()
        assert httpx.post(f"{base}/v2/models/gather/infer", json=bad).status_code == 500
        running.process.terminate()
        assert running.process.wait(timeout=20) == 0
        assert "opentelemetry" not in running.process.stderr.read()
    assert {path for path, _ in got} == {"/v1/traces"}
    resources = [entry for _, request in got for entry in request.resource_spans]
    assert {attributes(entry.resource)["service.name"] for entry in resources} == {"dashdeploy"}
    spans = [span for entry in resources for scope in entry.scope_spans for span in scope.spans]
    names = sorted(span.name for span in spans)
    grpc_name = "inference.GRPCInferenceService/ModelInfer"
    assert [name for name in names if name not in ("queue", "run")] == sorted(
        [
            "POST /v2/models/double/infer",
            "POST /v2/models/gather/infer",
            "POST /v2/models/gather/infer",
            "GET",
            grpc_name,
            grpc_name,
            "inference.GRPCInferenceService/ModelStreamInfer",
        ]
    )
    assert names.count("queue") == names.count("run") == 3
    by_id = {span.span_id: span for span in spans}
    continued = [span for span in spans if span.parent_span_id.hex() == PARENT]
    assert {span.trace_id.hex() for span in continued} == {TRACE}
    assert sorted(span.name for span in continued) == ["POST /v2/models/double/infer", grpc_name]
    for span in spans:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        if span.name in ("queue", "run"):
            outer = by_id[span.parent_span_id]
            assert outer.start_time_unix_nano <= span.start_time_unix_nano + 1_000_000
            assert span.end_time_unix_nano <= outer.end_time_unix_nano + 1_000_000
            assert attributes(span)["dashdeploy.model"] == "double"
        if span.name == "run":
            assert attributes(span)["dashdeploy.batch.rows"] == (1 if outer.name.startswith("POST") else 2)
    failed = [span for span in spans if span.name.endswith("gather/infer")]
    # OpenTelemetry: a client's mistake is not an error of the server.
    assert sorted((attributes(span)["http.response.status_code"], span.status.code) for span in failed) == [
        (400, 0),
        (500, 2),
    ]
    codes = sorted(attributes(span)["rpc.response.status_code"] for span in spans if span.name == grpc_name)
    assert codes == ["NOT_FOUND", "OK"]


def test_a_collector_that_is_away_costs_nothing(tmp_path, write, start_server):
    with start_server([write.double(tmp_path / "double")], traces="http://127.0.0.1:9") as running:
        for _ in range(20):
            assert (
                httpx.post(f"http://{running.http}/v2/models/double/infer", json=REQUEST).status_code == 200
            )
        running.process.terminate()
        assert running.process.wait(timeout=30) == 0
