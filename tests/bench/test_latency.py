"""The latency report is tested for structure and for exact figures from known times, never for speed."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from rich.console import Console

from dashdeploy.bench.latency import measure_latency
from dashdeploy.bench.latency_report import BatchNoise, BundleFacts, LatencyReport, LatencyRow, Speedup
from dashdeploy.bundle import Bundle, Manifest, write_manifest
from dashdeploy.errors import InputError
from dashdeploy.provenance import Provenance
from dashdeploy.tensor_spec import TensorSpec
from dashdeploy.timing import RatioEstimate

FILES = {"backbone": "baseline/backbone.onnx", "direct": "baseline/direct.onnx", "compiled": "model.onnx"}


def save_model(path, *, batch="batch"):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def bundle_of(tmp_path):
    def write(*variants, batch="batch"):
        folder = tmp_path / "bundle"
        for variant in variants:
            save_model(folder / FILES[variant], batch=batch)
        specs = [TensorSpec(name=name, shape=(batch, 8), dtype="float32") for name in "xy"]
        manifest = Manifest(
            name="model",
            inputs=specs[:1],
            outputs=specs[1:],
            target="ort-cpu",
            precision="fp32",
            source="test",
            tools={},
            files={},
        )
        write_manifest(folder, manifest)
        return Bundle.load(folder)

    return write


def printed(report):
    console = Console(width=160)
    with console.capture() as capture:
        console.print(report.table())
    return capture.get()


def test_every_batch_and_variant_has_a_row(bundle_of):
    said = []
    report = measure_latency(
        bundle_of("backbone", "direct", "compiled"), batches=(1, 3), seconds=0.05, progress=said.append
    )
    expected = [(batch, variant) for batch in (1, 3) for variant in ("backbone", "direct", "compiled")]
    assert [(row.batch, row.variant) for row in report.rows] == expected
    assert [(entry.batch, entry.over) for entry in report.speedups] == [
        (1, "backbone"),
        (1, "direct"),
        (3, "backbone"),
        (3, "direct"),
    ]
    assert [entry.batch for entry in report.noise] == [1, 3]
    for row in report.rows:
        assert row.calls >= 7
        assert 0 < row.p50_ms <= row.p90_ms <= row.p99_ms
        assert row.items_per_second > 0
    for batch in (1, 3):  # the rounds are common to all variants
        assert len({row.calls for row in report.rows if row.batch == batch}) == 1
    for entry in report.speedups:
        assert 0 < entry.low <= entry.median <= entry.high
    expected = "timing backbone, direct, compiled on ort-cpu, 1 thread(s), for 0.05 s"
    assert said == [f"batch {batch}: {expected}" for batch in (1, 3)]
    assert "ONNX Runtime" in report.engines["ort-cpu"]
    assert report.provenance.machine
    assert report.provenance.command
    for row in report.rows:
        # A lone ReLU multiplies nothing; the compiled model's count needs a plan, which is not there.
        assert row.multiply_adds == (None if row.variant == "compiled" else 0)
        assert row.size_mib > 0
        assert [each.percentile for each in row.intervals] == [50, 90, 99]
        assert all(each.low_ms <= each.high_ms for each in row.intervals)


@pytest.mark.parametrize("variants", [("compiled",), ("direct", "compiled"), ("backbone", "compiled")])
def test_variants_that_are_not_in_the_bundle_are_left_out(bundle_of, variants):
    report = measure_latency(bundle_of(*variants), batches=[2], seconds=0.01)
    assert [row.variant for row in report.rows] == list(variants)
    assert [entry.over for entry in report.speedups] == list(variants[:-1])
    assert len(report.noise) == 1


def test_json_holds_the_whole_report(bundle_of):
    report = measure_latency(bundle_of("direct", "compiled"), batches=[1], seconds=0.01)
    assert LatencyReport.model_validate_json(report.to_json()) == report
    assert json.loads(report.to_json())["rows"][0]["variant"] == "direct"


def row_of(variant, ms):
    return LatencyRow(
        bundle="net",
        engine="ort-cpu",
        threads=1,
        precision="fp32",
        batch=1,
        variant=variant,
        calls=9,
        p50_ms=ms,
        p90_ms=ms + 1,
        p99_ms=ms + 2,
        intervals=(),
        items_per_second=1000 / ms,
        size_mib=0.5,
        multiply_adds=3_000_000,
        peak_share=0.25,
    )


def report_with(noise):
    ratio = RatioEstimate(2, 1.9, 2.125)
    return LatencyReport(
        provenance=Provenance.now().model_copy(update={"machine": "the machine"}),
        seconds=2,
        bundles=(
            BundleFacts(label="net", path="net", model="net version 1", precision="fp32", target="ort-cpu"),
        ),
        engines={"ort-cpu": "the engine"},
        skipped={"tensorrt": "there is no GPU"},
        peak_gflops={1: 80.0},
        rows=(row_of("direct", 2.0), row_of("compiled", 1.0)),
        speedups=(Speedup.measured("net", "ort-cpu", 1, 1, "direct", ratio),),
        noise=(BatchNoise.measured(["net"], 1, 1, noise),),
    )


def test_table_shows_figures_and_ratio_beside_the_variant_compared_with():
    text = printed(report_with(RatioEstimate(1.0, 0.99, 1.01)))
    direct = next(line for line in text.splitlines() if "direct" in line)
    cells = direct.replace("│", " ").split()
    assert cells[:8] == ["direct", "ort-cpu", "1", "1", "2.000", "3.000", "4.000", "500"]
    assert cells[8:11] == ["0.50", "3.00", "25%"]
    assert "2.00x as fast (1.90 to 2.12)" in direct
    for said in (
        "net version 1, fp32",
        "the engine",
        "the machine",
        "quiet",
        "without tensorrt: there is no GPU",
    ):
        assert said in text


@pytest.mark.parametrize(
    "median, low, high", [(1.0, 0.96, 1.01), (1.0, 0.99, 1.04), (1.5, 1.4, 1.6), (0.5, 0.4, 0.6)]
)
def test_noise_is_said(median, low, high):
    report = report_with(RatioEstimate(median, low, high))
    assert report.noisy
    assert "noisy machine" in printed(report)
    assert f"{median:.3f} ({low:.3f} to {high:.3f})" in report.noise_warning()


def test_a_quiet_machine_gives_no_warning():
    report = report_with(RatioEstimate(1.0, 0.971, 1.029))
    assert not report.noisy
    assert report.noise_warning() is None
    assert report.speedup(1, "direct").median == 2
    assert report.speedup(2, "direct") is None


def test_measurements_made_one_after_the_other_are_one_report():
    first = report_with(RatioEstimate(1.0, 0.99, 1.01))
    noisy = report_with(RatioEstimate(1.0, 0.9, 1.01)).model_dump_json().replace('"net"', '"other"')
    second = LatencyReport.model_validate_json(noisy)
    both = LatencyReport.merged([first, second])
    assert [row.bundle for row in both.rows] == ["net", "net", "other", "other"]
    assert [each.bundles for each in both.noise] == [("net",), ("other",)]
    assert [[row.bundle for row in both.rows if each.timed(row)] for each in both.noise] == [
        ["net", "net"],
        ["other", "other"],
    ]
    assert both.noise_warning().startswith("noisy machine: other: at batch 1 one variant")
    assert list(both.skipped) == ["tensorrt, net", "tensorrt, other"]
    assert LatencyReport.merged([first]) == first
    with pytest.raises(InputError, match="net: two bundles have this name"):
        LatencyReport.merged([first, first])


def test_figures_are_those_of_the_samples(bundle_of):
    from dashdeploy.bench.latency import _row, _speedups
    from dashdeploy.bench.variants import variants_of

    times = np.arange(1, 102, dtype=np.float64) * 1e-3
    (variant,) = variants_of(bundle_of("compiled"), "ort-cpu")
    row = _row(variant, ("model", "ort-cpu", "compiled"), 8, 2, times, 1e9)
    assert (row.p50_ms, row.p90_ms, row.p99_ms) == pytest.approx((51, 91, 100))
    assert (row.calls, row.threads, row.batch) == (101, 2, 8)
    assert row.items_per_second == pytest.approx(8 * 101 / times.sum())
    keys = [("model", "ort-cpu", name) for name in ("compiled", "direct")]
    (speedup,) = _speedups(8, 2, {keys[0]: times, keys[1]: 3 * times})
    assert (speedup.over, speedup.batch, speedup.engine) == ("direct", 8, "ort-cpu")
    assert (speedup.median, speedup.low, speedup.high) == pytest.approx((3, 3, 3))


def test_several_engines_threads_and_bundles_share_the_rounds(bundle_of, tmp_path):
    pytest.importorskip("openvino")
    first = bundle_of("direct", "compiled")
    other = Bundle.load(shutil.copytree(first.path, tmp_path / "other"))
    report = measure_latency(
        [first, other], batches=[1], threads=[1, 2], seconds=0.05, engines=["ort-cpu", "openvino"]
    )
    assert len(report.rows) == 2 * 2 * 2 * 2
    for threads in (1, 2):
        assert len({row.calls for row in report.rows if row.threads == threads}) == 1
    assert {row.bundle for row in report.rows} == {str(first.path), str(other.path)}
    assert len(report.speedups) == 8
    with pytest.raises(InputError, match="one is given twice"):
        measure_latency([first, first])


def test_all_engines_are_those_that_are_here(bundle_of):
    report = measure_latency(bundle_of("compiled"), batches=[1], seconds=0.01, engines=["all"])
    assert "ort-cpu" in {row.engine for row in report.rows}
    assert "model.engine; export it again with --trt" in report.skipped["tensorrt"]
    assert "export the run again with --pt2" in report.skipped["torch"]


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("onnx", "no such engine; choose from ort-cpu"),
        ("torchscript", "has no model.ts; export it again with"),
    ],
)
def test_an_engine_that_is_missing_is_one_clear_line(bundle_of, engine, message):
    with pytest.raises(InputError, match=message):
        measure_latency(bundle_of("compiled"), engines=[engine])


def test_peak_memory_is_that_of_the_largest_batch(bundle_of):
    report = measure_latency(bundle_of("compiled"), batches=[1, 2], seconds=0.01, memory=True)
    assert [row.peak_mib is None for row in report.rows] == [True, False]
    assert 10 < report.rows[1].peak_mib < 4000


def test_multiply_adds_are_counted(tmp_path):
    from dashdeploy.bench.multiply_adds import count_onnx

    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 20])]
    out = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 6, 3])]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [6, 2, 5], [0.0] * 60),
        helper.make_tensor("m", TensorProto.FLOAT, [16, 3], [0.0] * 48),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=2),
        helper.make_node("MatMul", ["y", "m"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "graph", values, out, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    assert count_onnx(tmp_path / "model.onnx") == 6 * 16 * 2 * 5 + 6 * 3 * 16


def test_the_profile_names_layers(written_bundle):
    from dashdeploy.bench.layer_profile import profile_layers

    profile = profile_layers(Bundle.load(written_bundle), batch=2)
    assert [layer.layer for layer in profile.layers] == ["(Relu)"]
    assert profile.layers[0].ms > 0
    assert profile.shares() == [1.0]
    assert "100.0%" in profile.text()


def test_the_profile_is_part_of_the_result_and_of_the_page(written_bundle, tmp_path, fits_schema):
    from typer.testing import CliRunner

    from dashdeploy.cli import app

    file, page = tmp_path / "latency.json", tmp_path / "latency.html"
    words = ["bench", "latency", str(written_bundle), "--batches", "2", "--seconds", "0.01", "--profile"]
    done = CliRunner().invoke(app, [*words, "--json", str(file), "--report", str(page)])
    assert done.exit_code == 0, done.output
    title = "rectifier, batch 2, 1 thread(s): where the time goes"
    assert title in done.stdout
    (profile,) = fits_schema("latency", file.read_text())["profiles"]
    assert [layer["layer"] for layer in profile["layers"]] == ["(Relu)"]
    assert "Where the time goes" in page.read_text()
    shown = CliRunner().invoke(app, ["bench", "show", str(file), "--report", str(page)])
    assert title in shown.stdout
    assert "Where the time goes" in page.read_text()


def test_the_page_holds_the_figures(written_bundle):
    from dashdeploy.bench.latency_page import latency_page

    report = report_with(RatioEstimate(1.0, 0.99, 1.01))
    text = latency_page(report, [Bundle.load(written_bundle)]).html()
    for said in (
        "direct, ort-cpu",
        "Batch 1, 1 thread(s)",
        "2 ms, p99 4",
        "2.00x as fast (1.90 to 2.12)",
        "The plan",
        "there is no GPU",
    ):
        assert said in text


def test_layers_of_two_bundles_that_share_a_name_keep_their_own_plans(written_bundle, tmp_path):
    from dashdeploy.bench.latency_page import latency_page

    other = shutil.copytree(written_bundle, tmp_path / "other")
    plan = json.loads((other / "plan.json").read_text())
    plan["layers"][0]["reason"] = "another reason"
    (other / "plan.json").write_text(json.dumps(plan))
    manifest = Bundle.load(written_bundle).manifest.model_copy(update={"name": "other", "files": {}})
    write_manifest(other, manifest)
    bundles = [Bundle.load(written_bundle), Bundle.load(other)]
    page = latency_page(measure_latency(bundles, batches=[1], seconds=0.01), bundles)
    assert page.layers["rectifier first"]["reason"] == "1.5x as fast as direct"
    assert page.layers["other first"]["reason"] == "another reason"
    assert len({section.anchor for section in page.sections}) == len(page.sections)
    assert 'data-layer="other first"' in page.html()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batches": []}, "no batch size"),
        ({"batches": [0]}, "batch 0 is not a batch size"),
        ({"batches": [1, -2]}, "batch -2 is not a batch size"),
        ({"batches": [1, 1]}, "given twice"),
        ({"threads": 0}, "threads 0"),
        ({"seconds": 0}, "seconds 0"),
        ({"seconds": float("nan")}, "seconds nan"),
        ({"seconds": float("inf")}, "seconds inf"),
    ],
)
def test_arguments_out_of_range_are_one_clear_line(bundle_of, arguments, message):
    with pytest.raises(InputError, match=message):
        measure_latency(bundle_of("compiled"), **arguments)


def test_a_bundle_without_a_compiled_model_is_refused(bundle_of):
    with pytest.raises(InputError, match=r"the bundle has no model\.onnx"):
        measure_latency(bundle_of("direct"), batches=[1])


def test_a_fixed_batch_is_named(bundle_of):
    bundle = bundle_of("direct", "compiled", batch=1)
    with pytest.raises(InputError, match="has a fixed batch of 1, not 8; measure batch 1 alone"):
        measure_latency(bundle)
    assert len(measure_latency(bundle, batches=[1], seconds=0.01).rows) == 2


def test_what_cannot_be_written_is_found_before_anything_is_measured(bundle_of, tmp_path):
    from typer.testing import CliRunner

    from dashdeploy.cli import app

    bundle = str(bundle_of("compiled").path)
    for option, file in (
        ("--report", tmp_path),
        ("--report", tmp_path / "no" / "report.html"),
        ("--json", tmp_path / "no" / "result.json"),
    ):
        done = CliRunner().invoke(app, ["bench", "latency", bundle, option, str(file)])
        assert done.exit_code == 1
        assert done.stderr.startswith("error: cannot write")
        assert done.stderr.count("\n") == 1
    done = CliRunner().invoke(app, ["bench", "latency"])
    assert done.exit_code == 1, done.stderr
    assert "no bundle to measure" in done.stderr


@pytest.mark.slow
def test_networks_of_the_list_are_exported_and_timed(monkeypatch):
    from torch import nn
    from typer.testing import CliRunner

    from dashdeploy.bench import networks
    from dashdeploy.cli import app

    small = networks.Network("a convolution", (2, 40), lambda: nn.Sequential(nn.Conv1d(2, 3, 5), nn.ReLU()))
    monkeypatch.setattr(networks, "NETWORKS", {"small": small})
    words = ["bench", "latency", "--networks", "all", "--engine", "ort-cpu,torchscript,torch"]
    done = CliRunner().invoke(app, [*words, "--batches", "1", "--seconds", "0.05", "--json"])
    assert done.exit_code == 0, done.stderr
    measured = {(row["engine"], row["variant"]) for row in json.loads(done.stdout)["rows"]}
    assert {("ort-cpu", "compiled"), ("torchscript", "compiled"), ("torch", "compiled")} <= measured
