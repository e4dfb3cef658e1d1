"""Engines beside the model, and bundles that get one later."""

import json

import onnx
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.runtimes.gpus import find_gpus

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

TEXT = """g (float[b,4,64] x) => (float[b,4,64] y)
    { y = Conv<pads = [15,15], dilations = [3]>(x, "stem.weight") }"""
FORCED = ("--lowering", "fft", "--tune", "estimate", "--quiet")


@pytest.fixture
def path(tmp_path, onnx_model):
    onnx.save(onnx_model(TEXT, **{"stem.weight": (4, 4, 11)}), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def export(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_an_engine_is_part_of_the_bundle(tmp_path, path):
    result = export(path, "--out", tmp_path / "b", "--trt-rtx", "--compute-capabilities", "8.6", *FORCED)
    assert result.exit_code == 0, result.output
    bundle = Bundle.load(tmp_path / "b")
    assert {"model.rtx", "model.rtx.json"} <= set(bundle.manifest.files)
    sidecar = bundle.read_json("model.rtx.json")
    assert sidecar["compute_capabilities"] == ["8.6"]
    assert sidecar["layers"]["stem"].startswith("fft(tile=")
    assert sidecar["sha256"] == bundle.manifest.files["model.rtx"]
    assert sidecar["checked"] == ("parity" if find_gpus()[0] else "built")


@pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")
def test_without_a_gpu_plain_tensorrt_leaves_the_bundle_and_says_how_to_finish(tmp_path, path):
    out = tmp_path / "b"
    result = export(path, "--out", out, "--trt", *FORCED)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "pip install 'dashdeploy[trt]'" in result.stderr or "NVIDIA GPU" in result.stderr
    assert f"dashdeploy export {out} --trt" in result.stderr
    before = Bundle.load(out)
    assert "model.onnx" in before.manifest.files
    assert "model.engine" not in before.manifest.files

    again = export(out, "--trt", "--quiet")
    assert again.exit_code == 3
    assert f"{out} stays as it is" in again.stderr
    assert Bundle.load(out) == before


def test_a_bundle_gets_an_engine_and_keeps_everything_else(tmp_path, path):
    out = tmp_path / "b"
    assert export(path, "--out", out, "--name", "net", *FORCED).exit_code == 0
    before = Bundle.load(out).manifest
    result = export(out, "--trt-rtx", "--compute-capabilities", "8.9", "--quiet")
    assert result.exit_code == 0, result.output
    after = Bundle.load(out).manifest
    assert after.name == "net"
    assert {name: after.files[name] for name in before.files} == before.files
    assert set(after.files) - set(before.files) == {"model.rtx", "model.rtx.json"}

    result = export(out, "--out", tmp_path / "c", "--trt-rtx", "--compute-capabilities", "8.0", "--quiet")
    assert result.exit_code == 0, result.output
    assert Bundle.load(out).manifest == after
    capabilities = json.loads((tmp_path / "c" / "model.rtx.json").read_text())["compute_capabilities"]
    assert capabilities == ["8.0"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b", "c", "m.onnx"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "is a bundle already; say what to add to it"),
        (["--trt-rtx", "--lowering", "direct"], "--lowering needs the run or the model"),
        (["--trt-rtx", "--input-shape", "x=1,4,64"], "--input-shape needs the run"),
        (["--trt-rtx", "--compute-capabilities", "9.0"], "builds no engine for 9.0"),
    ],
)
def test_what_cannot_be_added_is_refused_and_changes_nothing(tmp_path, path, words, message):
    out = tmp_path / "b"
    assert export(path, "--out", out, *FORCED).exit_code == 0
    before = Bundle.load(out)
    result = export(out, *words, "--quiet")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert Bundle.load(out) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b", "m.onnx"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--triton-repository", "{tmp}/m.onnx"], "is not a folder"),
        (["--triton-repository", "{tmp}/b/repository"], "within the bundle"),
        (["--kserve", "{tmp}/nowhere/service.yaml"], "a folder that is there"),
        (["--kserve", "{tmp}/b/service.yaml"], "within the bundle"),
        (["--kserve", "{tmp}/service.yaml", "--storage-uri", "models"], "--storage-uri models: KServe reads"),
    ],
)
def test_targets_that_cannot_be_written_are_refused_before_any_work(tmp_path, path, words, message):
    words = [word.format(tmp=tmp_path) for word in words]
    assert export(path, "--out", tmp_path / "b", "--lowering", "direct", "--quiet").exit_code == 0
    for source in (
        [tmp_path / "b"],
        [path, "--out", tmp_path / "b2" if "/b/" not in words[1] else tmp_path / "b"],
    ):
        result = export(*source, *words, "--quiet")
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert message in result.stderr or "already exists" in result.stderr
    Bundle.load(tmp_path / "b")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b", "m.onnx"]


def test_deployment_targets_leave_the_bundle_as_it_is(tmp_path, path):
    assert export(path, "--out", tmp_path / "b", "--lowering", "direct", "--quiet").exit_code == 0
    before = Bundle.load(tmp_path / "b")
    places = ("--triton-repository", tmp_path / "repository", "--kserve", tmp_path / "service.yaml")
    assert export(tmp_path / "b", *places, "--quiet").exit_code == 0
    assert Bundle.load(tmp_path / "b") == before
    words = ["verify", tmp_path / "b", tmp_path / "repository", tmp_path / "service.yaml", "--json"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0
    assert [found["kind"] for found in json.loads(result.stdout)] == [
        "bundle",
        "triton repository",
        "inference service",
    ]


def test_without_a_gpu_the_whole_command_is_named(tmp_path, path):
    if find_gpus()[0]:
        pytest.skip("this machine has a GPU")
    places = ("--triton-repository", tmp_path / "my models")
    words = ("--trt", "--engine-batches", "1,4,64", *places, "--lowering", "direct", "--quiet")
    result = export(path, "--out", tmp_path / "b", *words)
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    command = (
        f"dashdeploy export {tmp_path}/b --trt --engine-batches 1,4,64 --triton-repository '{places[1]}'"
    )
    assert result.stderr.rstrip().endswith(command)
    assert (tmp_path / "my models" / "b" / "config.pbtxt").is_file()  # what can be done here is done
    Bundle.load(tmp_path / "b")
