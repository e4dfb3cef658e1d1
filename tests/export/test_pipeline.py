"""From a file or a run to a bundle: all of it, or nothing."""

import json
from hashlib import sha256

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.errors import GateError, InputError
from dashdeploy.export import pipeline
from dashdeploy.export.conversion import build
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.planning import planner
from dashdeploy.export.planning.plan import SpeedGate
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify import speed_gate
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32; see test_compiler.py."""

FORCED = ExportSettings(lowering="fft", tune="estimate")

TEXT = """g (float[batch,4,120] signal) => (float[batch,6,120] scores, float[batch,4,120] hidden) {
    h = Conv<pads = [14,14], dilations = [2]>(signal, "stem.weight", c)
    hidden = BatchNormalization(h, s, c, c, s)
    scores = Conv<pads = [1,1]>(hidden, "head.weight") }"""
WEIGHTS = {
    "stem.weight": (4, 4, 15),
    "head.weight": (6, 4, 3),
    "c": np.linspace(-1, 1, 4).astype("f4"),
    "s": np.linspace(0.5, 2, 4).astype("f4"),
}


@pytest.fixture
def model(onnx_model):
    return onnx_model(TEXT, **WEIGHTS)


@pytest.fixture
def path(tmp_path, model):
    path = tmp_path / "in" / "network.onnx"
    path.parent.mkdir()
    onnx.save(model, path)
    return path


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def run(path, name, x):
    runtime = OnnxRuntime(path, threads=1)
    assert runtime.inputs[0].name == name
    return runtime.run({name: x})


def worst(got, expected):
    assert got.keys() == expected.keys()
    return max(np.abs(got[k] - expected[k]).max() / np.abs(expected[k]).max() for k in expected)


def test_a_bundle_of_an_onnx_file_holds_what_the_contract_says(tmp_path, path):
    said = []
    bundle = export(path, tmp_path / "signals", FORCED, progress=said.append)
    assert files(bundle.path) == [
        "baseline/direct.onnx",
        "bundle.json",
        "model.onnx",
        "parity.json",
        "plan.json",
        "sample.json",
    ]
    manifest = json.loads((bundle.path / "bundle.json").read_text())
    assert manifest["format_version"] == 1
    assert (manifest["name"], manifest["version"]) == ("signals", "1")
    assert manifest["inputs"] == [{"name": "signal", "shape": ["batch", 4, 120], "dtype": "float32"}]
    assert [output["name"] for output in manifest["outputs"]] == ["scores", "hidden"]
    assert (manifest["target"], manifest["precision"], manifest["source"]) == (
        "ort-cpu",
        "fp32",
        "network.onnx",
    )
    assert manifest["labels"] == []
    assert {"dashdeploy", "onnxruntime", "onnx", "torch"} <= set(manifest["tools"])
    assert manifest["files"] == {
        name: sha256((bundle.path / name).read_bytes()).hexdigest()
        for name in files(bundle.path)
        if name != "bundle.json"
    }
    assert Bundle.load(bundle.path) == bundle
    assert (bundle.path / "baseline/direct.onnx").read_bytes() == path.read_bytes()
    assert "checking that the compiled model agrees with the reference" in said


@pytest.mark.parametrize("lowering", ["fft", "direct"])
def test_the_bundles_model_says_what_the_source_says(tmp_path, path, lowering):
    settings = FORCED.model_copy(update={"lowering": lowering})
    bundle = export(path, tmp_path / "out", settings)
    operators = [node.op_type for node in onnx.load(bundle.path / "model.onnx").graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == (0 if lowering == "fft" else 2)
    x = np.random.default_rng(0).standard_normal((3, 4, 120)).astype("f4")
    assert worst(run(bundle.path / "model.onnx", "signal", x), run(path, "signal", x)) <= TOLERANCE
    plan = bundle.read_json("plan.json")
    assert [layer["name"] for layer in plan["layers"]] == ["stem", "head"]
    assert {layer["chosen"].partition("(")[0] for layer in plan["layers"]} == {lowering}
    assert plan["speed"] is None
    parity = bundle.read_json("parity.json")
    assert [(entry["output"], entry["inputs"]) for entry in parity["outputs"]] == [
        (output, f"random, batch {batch}") for batch in (1, 3) for output in ("scores", "hidden")
    ]
    assert all(entry["max_relative_error"] <= TOLERANCE for entry in parity["outputs"])
    assert parity["tolerance"] == 1e-5
    assert parity["reference"].startswith("network.onnx in ONNX Runtime")


def test_measuring_and_racing_end_in_a_bundle_that_tells_of_it(tmp_path, onnx_model):
    onnx.save(
        onnx_model("g (float[b,64,400] x) => (float[b,64,m] y) { y = Conv(x, w) }", w=(64, 64, 31)),
        tmp_path / "m.onnx",
    )
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(name="long"))
    plan = bundle.read_json("plan.json")
    (layer,) = plan["layers"]
    assert bundle.manifest.name == "long"
    if plan["speed"] is None:  # on this machine no candidate was worth racing
        assert layer["chosen"] == "direct"
    else:
        assert plan["speed"]["shipped"] == ("direct" if layer["chosen"] == "direct" else "compiled")
    nodes = onnx.load(bundle.path / "model.onnx").graph.node
    operators = [node.op_type for node in nodes if "/product" not in node.name]  # those may be a grouped Conv
    assert ("Conv" in operators) is (layer["chosen"] == "direct")


def test_a_plan_for_two_threads_has_the_candidates_of_one_and_a_race_of_two(
    tmp_path, onnx_model, monkeypatch
):
    onnx.save(
        onnx_model("g (float[b,32,300] x) => (float[b,32,m] y) { y = Conv(x, w) }", w=(32, 32, 31)),
        tmp_path / "m.onnx",
    )
    raced = []

    def race(direct, compiled, *_):
        raced.append((direct.describe(), compiled.describe()))
        return SpeedGate(
            direct_ms=2, compiled_ms=1, speedup=2, speedup_low=2, speedup_high=2, shipped="compiled"
        )

    monkeypatch.setattr(speed_gate, "race", race)
    monkeypatch.setattr(planner, "WORTHWHILE", 0.0)
    plans, said = [], []
    for threads in (1, 2):
        said.append([])
        settings = ExportSettings(threads=threads)
        bundle = export(tmp_path / "m.onnx", tmp_path / str(threads), settings, progress=said[-1].append)
        plans.append(bundle.read_json("plan.json"))
    assert any(line.startswith("measuring") for line in said[0])
    assert not any(line.startswith("measuring") for line in said[1])
    # The costs are those of one thread; of two that are nearly equal, a race of whole models may prefer either.
    (one,), (two,) = (plan["layers"] for plan in plans)
    assert one["candidates"] == two["candidates"]
    for number, plan in enumerate(plans, start=1):
        assert plan["threads"] == number
        assert f"{number} thread(s)" in plan["device"]
        assert all(f"{number} thread(s)" in name for name in raced[number - 1])


def test_what_loses_the_race_ships_direct(tmp_path, onnx_model, monkeypatch):
    """One tap is a matrix product already: the planner is told otherwise by the table, the race tells the truth."""
    onnx.save(
        onnx_model("g (float[b,64,400] x) => (float[b,64,400] y) { y = Conv(x, w) }", w=(64, 64, 1)),
        tmp_path / "m.onnx",
    )
    monkeypatch.setattr(pipeline, "choose_lowerings", forced_by_lowering_fft)
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(tune="estimate"))
    plan = bundle.read_json("plan.json")
    assert plan["speed"]["shipped"] == "direct"
    assert plan["speed"]["speedup"] < 1
    assert plan["layers"][0]["chosen"] == "direct"
    assert "was only" in plan["layers"][0]["reason"]
    assert [node.op_type for node in onnx.load(bundle.path / "model.onnx").graph.node] == ["Conv"]
    assert bundle.read_json("parity.json")["outputs"][0]["max_relative_error"] == 0


def forced_by_lowering_fft(convolutions, settings, *others):
    from dashdeploy.export.planning.planner import choose_lowerings

    return choose_lowerings(convolutions, settings.model_copy(update={"lowering": "fft"}), *others)


def test_external_data_lies_beside_the_baseline(tmp_path, model):
    source = tmp_path / "in" / "network.onnx"
    (source.parent / "weights").mkdir(parents=True)
    onnx.save(model, source, save_as_external_data=True, location="weights/all.bin", size_threshold=0)
    bundle = export(source, tmp_path / "out", FORCED)
    assert files(bundle.path / "baseline") == ["direct.onnx", "weights/all.bin"]
    assert "baseline/weights/all.bin" in bundle.manifest.files
    assert (bundle.path / "baseline/direct.onnx").read_bytes() == source.read_bytes()
    (tmp_path / "in").rename(tmp_path / "gone")
    x = np.random.default_rng(0).standard_normal((2, 4, 120)).astype("f4")
    direct, compiled = (
        run(bundle.path / name, "signal", x) for name in ("baseline/direct.onnx", "model.onnx")
    )
    assert worst(compiled, direct) <= TOLERANCE


def test_planning_writes_nothing(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    plan = plan_export(path, FORCED)
    assert files(tmp_path) == before
    assert plan.compiled_layers == ["stem", "head"]


def test_an_existing_folder_is_refused_before_any_work(tmp_path, path):
    (tmp_path / "out").mkdir()
    said = []
    with pytest.raises(InputError, match="already exists; choose another `out`"):
        export(path, tmp_path / "out", FORCED, progress=said.append)
    assert said == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), RuntimeError])
@pytest.mark.parametrize("step", ["measure_parity", "copy_with_external_data", "write_manifest"])
def test_what_ends_midway_leaves_nothing(tmp_path, path, monkeypatch, step, error):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(build if step == "measure_parity" else pipeline, step, fails)
    expected = InputError if isinstance(error, OSError) and step != "measure_parity" else BaseException
    with pytest.raises(expected):
        export(path, tmp_path / "out", FORCED)
    assert files(tmp_path) == ["in/network.onnx"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def write_a_tenth_of_the_bias(self, writer, spec, x, weight, bias):
    return true_write(self, writer, spec, x, weight, None if bias is None else bias * np.float32(0.1))


true_write = FFT.write


def test_a_lowering_that_is_wrong_writes_nothing(tmp_path, path, monkeypatch):
    monkeypatch.setattr(FFT, "write", write_a_tenth_of_the_bias)
    with pytest.raises(GateError, match=r"hidden \(random, batch 1\) differs by") as error:
        export(path, tmp_path / "out", FORCED)
    assert error.value.exit_code == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    result = CliRunner().invoke(
        app,
        [
            "export",
            str(path),
            "--out",
            str(tmp_path / "out"),
            "--lowering",
            "fft",
            "--tune",
            "estimate",
            "--quiet",
        ],
    )
    assert result.exit_code == 4
    assert result.stderr.startswith("error: the compiled model does not agree with network.onnx")
    assert result.stderr.count("\n") == 1


def test_the_command_line_refuses_bad_files_in_one_line(tmp_path, path):
    path.write_bytes(path.read_bytes()[:200])
    result = CliRunner().invoke(app, ["export", str(path), "--out", str(tmp_path / "out"), "--quiet"])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {path} is not a valid ONNX model")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (  # no length does for both
            """g (float[b,4,n] x, float[b,6,m] z) => (float[b,12,k] y) {
                h = Conv(x, w)  y = Concat<axis = 1>(h, z) }""",
            "`input_shapes=NAME=1,C,N`",
        ),
        ("g (float[b,4,5] x) => (float[b,6,m] y) { y = Conv(x, w) }", "the impossible shape"),
        ("g (float[b,5,40] x) => (float[b,6,m] y) { y = Conv(x, w) }", "does not run on random inputs"),
    ],
)
def test_a_model_that_does_not_run_is_refused(tmp_path, onnx_model, text, message):
    onnx.save(onnx_model(text, w=(6, 4, 9)), tmp_path / "m.onnx")
    with pytest.raises(InputError) as error:
        export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]


def test_a_dynamic_length_is_mended_by_an_input_shape(tmp_path, onnx_model):
    text = "g (float[b,4,n] x) => (float[b,6,m] y) { y = Conv(x, w) }"
    onnx.save(onnx_model(text, w=(6, 4, 9)), tmp_path / "m.onnx")
    settings = FORCED.model_copy(update={"input_shapes": {"x": (1, 4, 100)}})
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", settings)
    assert bundle.manifest.inputs[0].shape == ("b", 4, 100)
    assert bundle.manifest.outputs[0].shape == ("b", 6, 92)
    assert bundle.read_json("plan.json")["layers"][0]["chosen"].startswith("fft")


def test_a_model_without_convolutions_is_exported(tmp_path, onnx_model):
    onnx.save(onnx_model("g (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings())
    assert bundle.read_json("plan.json")["layers"] == []


def test_a_bundles_model_can_be_exported_again(tmp_path, path):
    first = export(path, tmp_path / "first", FORCED)
    second = export(first.path / "model.onnx", tmp_path / "second", FORCED)
    assert second.read_json("plan.json")["layers"] == []
    x = np.random.default_rng(0).standard_normal((2, 4, 120)).astype("f4")
    assert worst(run(second.path / "model.onnx", "signal", x), run(path, "signal", x)) <= TOLERANCE
