"""The latency report is tested for structure and for exact figures from known times, never for speed."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from rich.console import Console

from dashdeploy.bench.latency import measure_latency
from dashdeploy.bench.latency_report import BatchNoise, LatencyReport, LatencyRow, Speedup
from dashdeploy.bundle import Bundle, Manifest, write_manifest
from dashdeploy.errors import InputError
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
    assert said == [f"batch {batch}: timing backbone, direct, compiled for 0.05 s" for batch in (1, 3)]
    assert "ONNX Runtime" in report.engine
    assert report.machine
    assert report.command


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


def report_with(noise):
    rows = (
        LatencyRow(batch=1, variant="direct", calls=9, p50_ms=2, p90_ms=3, p99_ms=4, items_per_second=500),
        LatencyRow(batch=1, variant="compiled", calls=9, p50_ms=1, p90_ms=2, p99_ms=3, items_per_second=1000),
    )
    return LatencyReport(
        bundle="bundle",
        model="net version 1",
        precision="fp32",
        engine="the engine",
        machine="the machine",
        threads=1,
        seconds=2,
        date="2026-01-01T00:00:00+00:00",
        command="the command",
        rows=rows,
        speedups=(Speedup(batch=1, over="direct", median=2, low=1.9, high=2.125),),
        noise=(BatchNoise.measured(1, noise),),
    )


def test_table_shows_figures_and_ratio_beside_the_variant_compared_with():
    text = printed(report_with(RatioEstimate(1.0, 0.99, 1.01)))
    direct = next(line for line in text.splitlines() if "direct" in line)
    assert direct.replace("│", " ").split()[:6] == ["direct", "1", "2.000", "3.000", "4.000", "500"]
    assert "2.00x as fast (1.90 to 2.12)" in direct
    for said in ("net version 1, fp32", "the engine", "the machine", "quiet"):
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


def test_figures_are_those_of_the_samples():
    from dashdeploy.bench.latency import _row, _speedups

    times = np.arange(1, 102, dtype=np.float64) * 1e-3
    row = _row(8, "direct", times)
    assert (row.p50_ms, row.p90_ms, row.p99_ms) == pytest.approx((51, 91, 100))
    assert row.calls == 101
    assert row.items_per_second == pytest.approx(8 * 101 / times.sum())
    (speedup,) = _speedups(8, {"compiled": times, "direct": 3 * times})
    assert (speedup.over, speedup.batch) == ("direct", 8)
    assert (speedup.median, speedup.low, speedup.high) == pytest.approx((3, 3, 3))


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
