"""What has no effect is refused: options of an export on a bundle, options without their partner, another's name."""

import onnx
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.export.deploy.triton_config import parse_config

TEXT = "g (float[b,4,64] x) => (float[b,4,64] y) { h = Conv<pads = [4,4]>(x, w)  y = Relu(h) }"
PLANNED = ("--lowering", "direct", "--tune", "estimate")


def export(*words):
    return CliRunner().invoke(app, ["export", *map(str, words), "--quiet"])


@pytest.fixture
def bundles(tmp_path, onnx_model, monkeypatch):
    """Bundles of two models with the same interface, in folders of the same name."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("walking", TEXT), ("heartbeat", TEXT.replace("Relu", "Tanh"))):
        (tmp_path / name).mkdir()
        onnx.save(onnx_model(text, w=(4, 4, 9)), tmp_path / f"{name}.onnx")
        result = export(f"{name}.onnx", "--out", f"{name}/bundle", *PLANNED)
        assert result.exit_code == 0, result.stderr
    return tmp_path


ON_A_BUNDLE = {
    "--target": "openvino",
    "--device": "l4",
    "--batch": 4,
    "--lowering": "direct",
    "--tune": "estimate",
    "--threads": 2,
    "--input-shape": "x=1,4,64",
    "--precision": "fp16",
    "--calibration": "nothing.npz",
    "--max-accuracy-drop": 0.5,
}


@pytest.mark.parametrize("option", ON_A_BUNDLE)
def test_what_was_decided_when_a_bundle_was_compiled_is_refused_on_it(bundles, option):
    result = export("walking/bundle", "--triton-repository", "repository", option, ON_A_BUNDLE[option])
    assert result.exit_code == 1
    assert f"error: {option} needs the run or the model that walking/bundle came from" in result.stderr
    assert not (bundles / "repository").exists()


@pytest.mark.parametrize("option", ["--torchscript", "--pt2"])
def test_files_of_a_module_are_refused_on_a_bundle(bundles, option):
    result = export("walking/bundle", "--triton-repository", "repository", option)
    assert (result.exit_code, (bundles / "repository").exists()) == (1, False)
    assert f"error: {option} needs the run or the model" in result.stderr


ALONE = {
    ("--storage-uri", "s3://models"): "--kserve",
    ("--engine-batches", "1,2,4"): "--trt, --trt-rtx, --triton-repository or --kserve",
    ("--compute-capabilities", "8.6"): "--trt-rtx",
    ("--calibration", "nothing.npz"): "--precision int8",
}


@pytest.mark.parametrize("given", ALONE, ids=" ".join)
def test_an_option_without_its_partner_is_refused(bundles, given):
    result = export("walking.onnx", "--out", "new", *PLANNED, *given)
    assert result.exit_code == 1
    assert (
        f"error: {given[0]} has no effect without {ALONE[given]}; add that, or leave it out" in result.stderr
    )
    assert not (bundles / "new").exists()


def test_a_name_names_the_model_in_a_repository_and_leaves_the_bundle(bundles):
    before = Bundle.load("walking/bundle")
    for name in ("walking", "heartbeat"):
        result = export(f"{name}/bundle", "--triton-repository", "repository", "--name", name)
        assert result.exit_code == 0, result.stderr
    found = sorted(path.relative_to(bundles).as_posix() for path in bundles.glob("repository/*/*/model.onnx"))
    assert found == ["repository/heartbeat/1/model.onnx", "repository/walking/1/model.onnx"]
    assert parse_config(bundles / "repository/walking/config.pbtxt").name == "walking"
    assert Bundle.load("walking/bundle") == before
    result = export("walking/bundle", "--kserve", "service.yaml", "--name", "walking")
    assert result.exit_code == 0, result.stderr
    assert "name: walking\n" in (bundles / "service.yaml").read_text()


def test_another_model_of_the_same_interface_is_no_new_version(bundles):
    assert export("walking/bundle", "--triton-repository", "repository").exit_code == 0
    refused = export("heartbeat/bundle", "--triton-repository", "repository")
    assert refused.exit_code == 1
    assert (
        "repository/bundle holds a model of walking.onnx, and this one is of heartbeat.onnx" in refused.stderr
    )
    assert "give it a --name of its own, or say --name bundle" in refused.stderr
    assert sorted(path.name for path in (bundles / "repository/bundle").iterdir()) == ["1", "config.pbtxt"]
    confirmed = export("heartbeat/bundle", "--triton-repository", "repository", "--name", "bundle")
    assert confirmed.exit_code == 0, confirmed.stderr
    assert sorted(path.name for path in (bundles / "repository/bundle").iterdir()) == [
        "1",
        "2",
        "config.pbtxt",
    ]
