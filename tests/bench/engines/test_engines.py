"""The comparison of engines is tested for structure and for exact figures from known times, never for speed."""

import numpy as np
import pytest
from typer.testing import CliRunner

from dashdeploy.bench.engines.candidates import ENGINES, missing, runtime_mib
from dashdeploy.bench.engines.measure import measure_engines
from dashdeploy.bench.engines.models import check_engines, of_bundles, of_networks
from dashdeploy.bench.engines.report import EnginesReport
from dashdeploy.bench.show.comparison import compare
from dashdeploy.bench.show.page import result_page
from dashdeploy.bench.show.results import load_result
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.pipeline import export_source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES

QUICK = {"seconds": 0.05, "memory": False}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    import torch
    from torch import nn

    from dashdeploy.export.artifact_settings import ArtifactSettings
    from dashdeploy.export.frontend.source import from_modules

    torch.manual_seed(0)

    def network(kernel):
        conv = nn.Conv1d(2, 6, kernel, padding=kernel // 2)
        return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3)).eval()

    folder = tmp_path_factory.mktemp("engines")
    source = from_modules(folder / "run", network(15), network(3), (2, 64), lambda _line: None)
    settings = ExportSettings(
        lowering="fft", tune="estimate", artifacts=ArtifactSettings(torchscript=True, pt2=True)
    )
    return export_source(source, folder / "small", settings)


def test_every_engine_that_is_here_runs_every_variant_and_agrees(bundle, fits_schema, tmp_path):
    quick = [name for name in ENGINES if name not in ("aoti", "executorch")]  # which compile for a minute
    here = [name for name in quick if missing(name) is None]
    report = measure_engines(of_bundles([bundle]), engines=here, **QUICK)
    assert list(report.engines) == here and not report.skipped
    for name in here:
        rows = {row.variant: row for row in report.rows if row.engine == name}
        onnx = name not in ("torchscript", "torch")
        assert list(rows) == (["backbone", "direct", "compiled"] if onnx else ["compiled"])
        for row in rows.values():
            assert row.error < (4e-2 if name == "openvino-bf16" else 1e-5)
            assert 0 < row.p50_ms <= row.p90_ms <= row.p99_ms and row.calls >= 7 and row.file_mib > 0
            assert (row.round_trip_ms is not None) == (name == "ort-web")
            assert row.round_trip_ms is None or row.round_trip_ms > row.p50_ms
        ratio = report.ratio("small", name, "direct / compiled")
        assert (ratio is not None) == onnx
        assert ratio is None or ratio.low <= ratio.median <= ratio.high
    content = fits_schema("engines", report.to_json())
    (tmp_path / "result.json").write_text(report.to_json())
    assert load_result(tmp_path / "result.json") == report == EnginesReport.model_validate(content)
    assert compare(report, report).agree
    text, page = report.text(), result_page(report).html()
    for name in here:
        assert name in text and name in page
    assert "fastest for small: " in text


@pytest.mark.slow
def test_a_program_compiled_ahead_of_time_agrees(bundle):
    if (reason := missing("aoti")) is not None:
        pytest.skip(reason)
    report = measure_engines(of_bundles([bundle]), engines=["ort-cpu", "aoti"], **QUICK)
    rows = [row for row in report.rows if row.engine == "aoti"]
    assert [row.variant for row in rows] == ["backbone", "direct", "compiled"]
    assert all(row.error < 1e-5 and row.file_mib > 0.05 for row in rows)
    assert report.engines["aoti"].startswith("AOTInductor in torch ")


def test_a_missing_engine_is_named_with_what_installs_it(bundle, monkeypatch):
    real = missing
    monkeypatch.setattr(
        "dashdeploy.bench.engines.measure.missing",
        lambda name: "install it with: pip install planted" if name == "mnn" else real(name),
    )
    monkeypatch.setattr("dashdeploy.bench.engines.models.ENGINES", ("ort-cpu", "mnn"))
    report = measure_engines(of_bundles([bundle]), engines=["all"], **QUICK)
    assert "without mnn: install it with: pip install planted" in report.text()
    with pytest.raises(MissingCapabilityError, match="pip install planted"):
        measure_engines(of_bundles([bundle]), engines=["ort-cpu", "mnn"], **QUICK)


def test_a_provider_that_onnx_runtime_falls_back_from_is_named(bundle):
    words = [
        "bench",
        "engines",
        str(bundle.path),
        "--engines",
        "ort-cpu,ort:PlantedExecutionProvider",
        "--no-memory",
    ]
    with pytest.raises(
        MissingCapabilityError, match="asked for PlantedExecutionProvider and fell back to CPUExec"
    ):
        measure_engines(of_bundles([bundle]), engines=words[4].split(","), **QUICK)
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, MissingCapabilityError) or done.exit_code == 3


def test_figures_are_those_of_the_times(bundle, monkeypatch):
    known = {
        "ort-cpu/backbone": np.full(8, 2e-3),
        "ort-cpu/direct": np.full(8, 12e-3),
        "ort-cpu/compiled": np.full(8, 4e-3),
        "control": np.full(8, 12.6e-3),
    }
    monkeypatch.setattr(
        "dashdeploy.bench.engines.measure.interleaved", lambda calls, **_: {n: known[n] for n in calls}
    )
    report = measure_engines(of_bundles([bundle]), engines=["ort-cpu"], **QUICK)
    assert [round(row.p50_ms, 6) for row in report.rows] == [2, 12, 4]
    assert report.ratio("small", "ort-cpu", "direct / compiled").median == pytest.approx(3)
    assert report.ratio("small", "ort-cpu", "compiled / backbone").median == pytest.approx(2)
    assert report.noise[0].median == pytest.approx(1.05) and report.noise[0].noisy
    assert report.fastest("small").variant == "compiled"


def test_peak_memory_counts_the_engine_s_own_process(bundle):
    engines = [name for name in ("ort-cpu", "ort-web") if missing(name) is None]
    report = measure_engines(of_bundles([bundle]), engines=engines, seconds=0.05)
    assert all(20 < row.peak_mib < 4000 for row in report.rows)
    if "ort-web" in engines:
        peaks = {(row.engine, row.variant): row.peak_mib for row in report.rows}
        # Node with the WebAssembly takes more than the library in this process.
        assert peaks["ort-web", "compiled"] > 60


def test_sizes_are_those_on_disk():
    assert 5 < runtime_mib("ort-cpu") < 500
    for name in ONNX_ENGINES:
        if missing(name) is None:
            assert runtime_mib(name) > 5


@pytest.mark.slow
def test_networks_are_planned_for_every_engine():
    engines = [name for name in ("ort-cpu", "openvino", "torch") if missing(name) is None]
    with of_networks(["convnext"], engines) as models:
        report = measure_engines(models, engines=engines, **QUICK)
    planned = {row.engine: row.planned_for for row in report.rows}
    assert planned["ort-cpu"] == "ort-cpu" and planned.get("openvino", "openvino") == "openvino"
    assert {row.variant for row in report.rows if row.engine == "torch"} == {"direct", "compiled"}


def test_an_engine_that_is_none_is_refused(bundle):
    with pytest.raises(InputError, match="engine openvin: no such engine; did you mean openvino"):
        check_engines(["openvin"])
    done = CliRunner().invoke(app, ["bench", "engines", str(bundle.path), "--engines", "caffe"])
    assert done.exit_code != 0


def test_the_command_prints_a_table_and_writes_the_page(bundle, tmp_path):
    words = ["bench", "engines", str(bundle.path), "--engines", "ort-cpu", "--seconds", "0.05", "--no-memory"]
    done = CliRunner().invoke(app, [*words, "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "direct / compiled" in done.output
    assert "<svg" in (tmp_path / "page.html").read_text()
