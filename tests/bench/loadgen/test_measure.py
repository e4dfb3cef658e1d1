"""MLPerf LoadGen against a bundle here and against a server; the verdict is LoadGen's, whatever it is."""

import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.loadgen.measure import Load, _figures, _recommendations, _verdict, measure_loadgen
from dashdeploy.bench.loadgen.targets import OverHttp
from dashdeploy.bench.serve.server_process import server_process
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError

pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")


@pytest.mark.parametrize("scenario", ["single-stream", "offline", "server"])
def test_every_scenario_runs_in_process(written_bundle, scenario, fits_schema):
    load = Load(scenario, seconds=0.3, qps=200 if scenario == "server" else None, bound_ms=1000)
    report = measure_loadgen(Bundle.load(written_bundle), load)
    assert report.scenario.lower() == scenario.replace("-", "")
    assert report.percentiles()[99] == report.figures["99.00 percentile latency (ns)"] / 1e6 > 0
    assert isinstance(report.valid, bool)
    assert "MLPerf LoadGen" in report.text()
    assert "ONNX Runtime" in report.answered_by
    fits_schema("loadgen", report.model_dump_json())


def test_a_server_is_asked_over_http(written_bundle):
    pytest.importorskip("uvicorn")
    with server_process(written_bundle, 1) as (http, _grpc):
        bundle = Bundle.load(written_bundle)
        for scenario in ("single-stream", "offline"):
            report = measure_loadgen(bundle, Load(scenario, seconds=0.3), url=f"http://{http}")
            assert report.figures["50.00 percentile latency (ns)"] > 0
            assert http in report.answered_by
        unknown = Bundle(bundle.path, bundle.manifest.model_copy(update={"name": "unknown"}))
        with pytest.raises(InputError, match="the server answers 404"):
            measure_loadgen(unknown, Load("single-stream", seconds=0.3), url=f"http://{http}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:1", "is not http://HOST:PORT"),
        ("https://127.0.0.1:1", "is not http://HOST:PORT"),
        ("http://127.0.0.1:99999", "write http://HOST:PORT"),
        ("http://127.0.0.1:1", "no server answers there"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_clear_line(written_bundle, url, message):
    with pytest.raises(InputError, match=message):
        OverHttp(Bundle.load(written_bundle), url)


def test_the_command_refuses_what_does_not_go_together(written_bundle):
    for words, message in (
        (["--url", "http://127.0.0.1:1"], "--url belongs to --loadgen"),
        ([str(written_bundle), "--loadgen", "offline"], "one bundle at a time"),
    ):
        done = CliRunner().invoke(app, ["bench", "latency", str(written_bundle), *words])
        assert done.exit_code == 1
        assert message in done.stderr


SUMMARY = """MLPerf Results Summary
Scenario : Server
Mode     : PerformanceOnly
Completed samples per second    : 99.50
Result is : INVALID
  Performance constraints satisfied : NO
Recommendations:
 * Reduce target QPS to improve latency.
 * Run longer.

Additional Stats
50.00 percentile latency (ns)   : 1500000
Test Parameters Used
samples_per_query : 1
"""


def test_the_summary_is_read():
    assert not _verdict(SUMMARY)
    assert _figures(SUMMARY) == {
        "Completed samples per second": 99.5,
        "50.00 percentile latency (ns)": 1_500_000,
    }
    assert _recommendations(SUMMARY) == ("Reduce target QPS to improve latency.", "Run longer.")
    with pytest.raises(InputError, match="no verdict"):
        _verdict("")
