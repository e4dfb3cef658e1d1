"""The latency report is tested for structure and for exact figures from known times, never for speed."""

import json
import shutil
import time

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from dashdeploy.artifacts.bundle import Bundle, Manifest, write_manifest
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.bench.latency.measure import measure_latency
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.latency.variants import peak_mib, variants_of
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

FILES = {
    "backbone": "baseline/backbone.onnx",
    "single": "baseline/single.onnx",
    "direct": "baseline/direct.onnx",
    "compiled": "model.onnx",
}


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


def test_the_processor_time_does_not_count_what_a_call_waits(bundle_of, monkeypatch):
    """Each call sleeps 5 ms, which the wall clock sees and the thread's own time does not."""
    real = OnnxRuntime.run

    def slow(self, feeds):
        time.sleep(0.005)
        return real(self, feeds)

    monkeypatch.setattr(OnnxRuntime, "run", slow)
    bundle = bundle_of("direct", "compiled")
    wall = measure_latency(bundle, batches=[1], seconds=0.01)
    own = measure_latency(bundle, batches=[1], seconds=0.01, cpu_time=True)
    assert own.cpu_time and not wall.cpu_time
    assert min(row.p50_ms for row in wall.rows) >= 5
    assert max(row.p50_ms for row in own.rows) < 5
    assert "processor time of the calling thread" in own.text()
    assert "processor time" not in wall.text()


@pytest.mark.parametrize(
    "variants",
    [
        ("compiled",),
        ("direct", "compiled"),
        ("backbone", "compiled"),
        ("backbone", "single", "direct", "compiled"),
    ],
)
def test_variants_that_are_not_in_the_bundle_are_left_out(bundle_of, variants):
    report = measure_latency(bundle_of(*variants), batches=[2], seconds=0.01)
    assert [row.variant for row in report.rows] == list(variants)
    assert [entry.over for entry in report.speedups] == list(variants[:-1])
    assert len(report.noise) == 1


def test_json_holds_the_whole_report(bundle_of):
    report = measure_latency(bundle_of("direct", "compiled"), batches=[1], seconds=0.01)
    assert LatencyReport.model_validate_json(report.to_json()) == report
    assert json.loads(report.to_json())["rows"][0]["variant"] == "direct"


def test_figures_are_those_of_the_samples(bundle_of):
    from dashdeploy.bench.latency.measure import _row, _speedups
    from dashdeploy.bench.latency.variants import variants_of

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
    with pytest.raises(InputError, match="one appears twice"):
        measure_latency([first, first])


def test_all_engines_are_those_that_are_here(bundle_of):
    report = measure_latency(bundle_of("compiled"), batches=[1], seconds=0.01, engines=["all"])
    assert "ort-cpu" in {row.engine for row in report.rows}
    assert "model.engine; export it again with `trt=True`" in report.skipped["tensorrt"]
    assert "export the run again with `pt2=True`" in report.skipped["torch"]


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_here_is_refused(bundle_of):
    with pytest.raises(MissingCapabilityError, match=r"`device=cuda`: torch .* pip install torch"):
        measure_latency(bundle_of("compiled"), engines=["torch"], device="cuda")


def test_a_device_is_torch_s_alone(bundle_of, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    bundle = bundle_of("compiled")
    for engines in (None, ["ort-cpu"]):
        with pytest.raises(InputError, match="`device=cuda` has no effect without the engines torch or"):
            measure_latency(bundle, engines=engines, device="cuda")
    with pytest.raises(InputError, match="`memory` is of the CPU's"):
        measure_latency(bundle, engines=["torch"], device="cuda", memory=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"engines": ["torch"], "precisions": ["fp64"]},
            "`precision=fp64`: no such precision; choose from fp32",
        ),
        ({"engines": ["torch"], "precisions": ["tf32"]}, "`precision=tf32` is of GPUs; use `device=cuda`"),
        ({"engines": ["torch"], "precisions": ["bf16", "bf16"]}, "each once"),
        ({"engines": ["torch"], "precisions": []}, "give at least one"),
        (
            {"engines": ["ort-cpu"], "precisions": ["bf16"]},
            "`precisions` has no effect without the engines torch",
        ),
    ],
)
def test_precisions_that_nothing_runs_in_are_refused(bundle_of, arguments, message):
    with pytest.raises(InputError, match=message):
        measure_latency(bundle_of("compiled"), **arguments)


@pytest.fixture
def program_bundle(bundle_of):
    from dashdeploy.export.torch.model import save_pt2

    bundle = bundle_of("compiled")
    (spec,) = bundle.manifest.inputs
    network = (
        torch.nn.Conv1d(spec.shape[1], 3, 1) if len(spec.shape) == 3 else torch.nn.Linear(spec.shape[1], 3)
    )
    save_pt2(network.eval(), torch.zeros(2, *spec.shape[1:]), bundle.path / "model.pt2")
    manifest = bundle.manifest.model_copy(update={"files": {**bundle.manifest.files, "model.pt2": "0" * 64}})
    return Bundle(bundle.path, manifest)


def test_torch_has_a_row_for_every_precision(program_bundle):
    report = measure_latency(
        program_bundle, batches=[1, 2], seconds=0.02, engines=["torch"], precisions=["fp32", "bf16"]
    )
    assert [(row.engine, row.precision, row.batch) for row in report.rows] == [
        ("torch", "fp32", 1),
        ("torch, bf16", "bf16", 1),
        ("torch", "fp32", 2),
        ("torch, bf16", "bf16", 2),
    ]
    assert "in bf16, 1 thread" in report.engines["torch, bf16"]
    assert report.gpu_peak_gflops == {}  # nothing ran on a GPU


def test_a_graph_is_of_gpus(program_bundle):
    with pytest.raises(InputError, match="CUDA graphs are of GPUs; use `device=cuda`"):
        measure_latency(program_bundle, engines=["torch-cuda-graph"])


def test_peak_memory_is_that_of_the_largest_batch(bundle_of):
    report = measure_latency(bundle_of("compiled"), batches=[1, 2], seconds=0.01, memory=True)
    assert [row.peak_mib is None for row in report.rows] == [True, False]
    assert 10 < report.rows[1].peak_mib < 4000


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batches": []}, "no batch size"),
        ({"batches": [0]}, "batch 0 is not a batch size"),
        ({"batches": [1, -2]}, "batch -2 is not a batch size"),
        ({"batches": [1, 1]}, "appears twice"),
        ({"threads": 0}, "`threads=0`"),
        ({"threads": 2, "cpu_time": True}, "`cpu_time` is of one thread"),
        ({"seconds": 0}, "`seconds=0`"),
        ({"seconds": float("nan")}, "`seconds=nan`"),
        ({"seconds": float("inf")}, "`seconds=inf`"),
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

    from dashdeploy.cli.app import app

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

    from dashdeploy.bench.networks import measure as networks
    from dashdeploy.cli.app import app

    small = networks.Network("a convolution", (2, 40), lambda: nn.Sequential(nn.Conv1d(2, 3, 5), nn.ReLU()))
    monkeypatch.setattr(networks, "NETWORKS", {"small": small})
    words = ["bench", "latency", "--networks", "all", "--engine", "ort-cpu,torchscript,torch"]
    done = CliRunner().invoke(app, [*words, "--batches", "1", "--seconds", "0.05", "--json"])
    assert done.exit_code == 0, done.stderr
    measured = {(row["engine"], row["variant"]) for row in json.loads(done.stdout)["rows"]}
    assert {("ort-cpu", "compiled"), ("torchscript", "compiled"), ("torch", "compiled")} <= measured


def test_a_failure_of_the_process_that_measures_memory_names_the_variant(bundle_of):
    (variant,) = variants_of(bundle_of("compiled"), "ort-cpu")
    (variant.bundle.path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(
        InputError, match=r"measures memory \(\S*bundle, compiled on ort-cpu, batch 2\) failed: "
    ):
        peak_mib(variant, 2, 1)
