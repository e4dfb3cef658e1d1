"""Models with state, with several inputs, and with dynamic axes that are not the batch."""

import re

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.latency.measure import measure_latency
from dashdeploy.bench.loadgen.targets import InProcess, sample_feeds
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError
from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify
from dashdeploy.runtimes.batch_axis import warm_up
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

ESTIMATED = ExportSettings(tune="estimate")


def labels(bundle):
    return list(dict.fromkeys(entry["inputs"] for entry in bundle.read_json("parity.json")["outputs"]))


def with_state(onnx_model, batch, length, state):
    """A convolution, and a GRU whose state has the batch on its second axis."""
    text = f"""g (float[{batch},8,{length}] x, float[1,{state},4] h0) => (float[p,q] y, float[1,r,4] hn) {{
        c = Conv<pads = [2,2]>(x, w)  t = Transpose<perm = [2,0,1]>(c)
        gy, hn = GRU<hidden_size = 4>(t, gw, gr, none, none, h0)  y = Squeeze(hn, zero) }}"""
    model = onnx_model(text, w=(16, 8, 5), gw=(1, 12, 16), gr=(1, 12, 4), zero=np.array([0]))
    gru = next(node for node in model.graph.node if node.op_type == "GRU")
    gru.input[3] = gru.input[4] = ""
    return model


@pytest.mark.parametrize(
    ("batch", "length", "state", "expected"),
    [
        ("b", "n", "b", ["random, batch 1, length 1", "random, batch 3, length 2"]),
        ("b", "64", "s", ["random, batch 1", "random, batch 3"]),
        ("b", "64", "1", ["random, batch 1"]),
        ("1", "64", "1", ["random, batch 1"]),
    ],
)
def test_a_state_has_the_models_own_batch(tmp_path, onnx_model, batch, length, state, expected):
    onnx.save(with_state(onnx_model, batch, length, state), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ESTIMATED)
    assert labels(bundle) == expected
    assert verify(bundle.path).data["good"]
    sample = bundle.read_json("sample.json")["inputs"]
    assert [tensor["shape"][axis] for tensor, axis in zip(sample, (0, 1), strict=True)] == [1, 1]


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_a_dynamic_length_is_the_least_that_runs(tmp_path, onnx_model, layout):
    if layout == "channels first":
        text = "g (float[batch,8,length] x) => (float[batch,8,m] y) { y = Conv(x, w) }"
    else:
        text = """g (float[batch,length,8] x) => (float[batch,8,m] y) {
            t = Transpose<perm = [0,2,1]>(x)  y = Conv(t, w) }"""
    onnx.save(onnx_model(text, w=(8, 8, 41)), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ESTIMATED)
    assert labels(bundle) == ["random, batch 1, length 41", "random, batch 3, length 82"]
    assert verify(bundle.path).data["good"]
    said = CliRunner().invoke(
        app, ["bench", "latency", str(bundle.path), "--batches", "1", "--seconds", "0.05"]
    )
    assert said.exit_code == 0, said.output
    assert "the least length it runs on, 41" in said.stderr
    assert "fp32, length 41" in " ".join(said.stdout.split())
    plan = bundle.read_json("plan.json")
    assert plan["lengths"] == [41, 82]
    assert "length" in plan["inputs"]["x"]
    shown = CliRunner().invoke(app, ["inspect", str(bundle.path)]).stdout
    assert (
        "checked with dynamic axes of length 41, 82; --input-shape NAME=1,C,N plans for one length" in shown
    )


def test_a_shape_gives_a_static_plan(tmp_path, onnx_model):
    text = "g (float[batch,8,length] x) => (float[batch,8,m] y) { y = Conv(x, w) }"
    onnx.save(onnx_model(text, w=(8, 8, 41)), tmp_path / "m.onnx")
    fixed = ESTIMATED.model_copy(update={"input_shapes": {"x": (1, 8, 1000)}})
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", fixed)
    plan = bundle.read_json("plan.json")
    assert (plan["inputs"], plan["lengths"]) == ({"x": ["batch", 8, 1000]}, [])
    assert plan["layers"][0]["spec"]["spatial"] == [1000]
    assert labels(bundle) == ["random, batch 1", "random, batch 3"]
    assert verify(bundle.path).data["good"]
    free = plan_export(tmp_path / "m.onnx", ESTIMATED)
    assert free.layers[0].spec is None and free.lengths == [41, 82]


def test_variants_of_a_fixed_shape_are_timed_at_that_shape(tmp_path, onnx_model, monkeypatch):
    """The all-direct model of an ONNX file is that file, which takes any length."""
    text = "g (float[batch,8,length] x) => (float[batch,8,m] y) { y = Conv(x, w) }"
    onnx.save(onnx_model(text, w=(8, 8, 41)), tmp_path / "m.onnx")
    fixed = ESTIMATED.model_copy(update={"input_shapes": {"x": (1, 8, 1000)}})
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", fixed)
    run, seen = OnnxRuntime.run, set()

    def recorded(self, feeds):
        seen.add(feeds["x"].shape)
        return run(self, feeds)

    monkeypatch.setattr(OnnxRuntime, "run", recorded)
    report = measure_latency(bundle, batches=[1], seconds=0.05)
    assert {row.variant for row in report.rows} >= {"direct", "compiled"}
    assert seen == {(1, 8, 1000)}
    assert report.bundles[0].length is None


def test_a_shape_fixes_a_batch_that_is_the_only_one(tmp_path, onnx_model):
    onnx.save(with_state(onnx_model, "b", "64", "1"), tmp_path / "m.onnx")
    fixed = ESTIMATED.model_copy(update={"input_shapes": {"h0": (1, 1, 4), "x": (1, 8, 64)}})
    said = []
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", fixed, progress=said.append)
    assert bundle.manifest.inputs[0].shape == (1, 8, 64)
    assert "m.onnx runs with batch 1 and not with 2: its batch is fixed" in said
    assert verify(bundle.path).data["good"]


def test_a_server_and_loadgen_take_the_least_length(tmp_path, onnx_model):
    text = "g (float[batch,8,length] x) => (float[batch,8,m] y) { y = Conv(x, w) }"
    onnx.save(onnx_model(text, w=(8, 8, 41)), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ESTIMATED)
    probe = warm_up(OnnxRuntime(bundle.path / "model.onnx"), bundle.manifest.inputs)
    assert probe["x"].shape == (1, 8, 41) and not probe["x"].any()
    assert {feeds["x"].shape for feeds in sample_feeds(bundle)} == {(1, 8, 41)}
    target = InProcess(bundle, None, 1, batch=4)
    target.answer_one(0)
    target.answer_all(range(6))
    onnx.save(with_state(onnx_model, "b", "n", "b"), tmp_path / "state.onnx")
    probe = warm_up(OnnxRuntime(tmp_path / "state.onnx"), OnnxRuntime(tmp_path / "state.onnx").inputs)
    assert {name: array.shape for name, array in probe.items()} == {"x": (1, 8, 1), "h0": (1, 1, 4)}


def test_what_export_says_next_works(tmp_path, onnx_model):
    onnx.save(with_state(onnx_model, "b", "64", "1"), tmp_path / "m.onnx")
    out = str(tmp_path / "out")
    said = CliRunner().invoke(app, ["export", str(tmp_path / "m.onnx"), "--out", out, "--tune", "estimate"])
    assert said.exit_code == 0, said.output
    (line,) = re.findall(r"next: dashdeploy (bench latency [^,]*), ", " ".join(said.stderr.split()))
    assert line == f"bench latency {out} --batches 1"
    measured = CliRunner().invoke(app, [*line.split(), "--seconds", "0.05"])
    assert measured.exit_code == 0, measured.output
    refused = CliRunner().invoke(app, ["bench", "latency", out, "--batches", "1,8"])
    assert refused.exit_code == 1
    assert "does not run with batch 8; measure batch 1" in " ".join(refused.stderr.split())


def test_a_dry_run_refuses_what_export_refuses(tmp_path, onnx_model):
    text = "g (float[b,5,40] x) => (float[b,6,m] y) { y = Conv(x, w) }"
    onnx.save(onnx_model(text, w=(6, 4, 9)), tmp_path / "m.onnx")
    for refusing in (
        lambda: plan_export(tmp_path / "m.onnx", ESTIMATED),
        lambda: export(tmp_path / "m.onnx", tmp_path / "out", ESTIMATED),
    ):
        with pytest.raises(InputError, match="does not run on random inputs"):
            refusing()


def test_a_bundle_of_several_batches_is_benched_at_the_usual_ones(tmp_path, onnx_model):
    text = "g (float[b,4,40] x) => (float[b,6,m] y) { y = Conv(x, w) }"
    onnx.save(onnx_model(text, w=(6, 4, 9)), tmp_path / "m.onnx")
    said = CliRunner().invoke(
        app, ["export", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "out"), "--tune", "estimate"]
    )
    assert "--batches" not in said.stderr
    assert Bundle.load(tmp_path / "out").manifest.inputs[0].shape[0] == "b"
