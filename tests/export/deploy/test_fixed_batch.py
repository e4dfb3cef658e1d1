"""The model for one batch: every size inside is known, and it gives what the model gives."""

import json

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.export.deploy.fixed_batch import write_fixed_batch
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TEXT = """g (float[b,4,64] x) => (float[b,4,64] y) {
    h = Conv<pads = [15,15], dilations = [3]>(x, "stem.weight")  y = Relu(h) }"""
FORCED = ("--lowering", "fft", "--tune", "estimate", "--quiet")


@pytest.fixture
def path(tmp_path, onnx_model):
    onnx.save(onnx_model(TEXT, **{"stem.weight": (4, 4, 11)}), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def export(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


def unknown_sizes(model):
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    return [
        value.name
        for value in values
        if any(not axis.HasField("dim_value") for axis in value.type.tensor_type.shape.dim)
    ]


@pytest.mark.parametrize("later", [False, True])
def test_every_size_is_known_and_true(tmp_path, path, later):
    out = tmp_path / "b"
    if later:
        assert export(path, "--out", out, *FORCED).exit_code == 0
        result = export(out, "--fixed-batch", "2", "--quiet")
    else:
        result = export(path, "--out", out, "--fixed-batch", "2", *FORCED)
    assert result.exit_code == 0, result.output
    assert "model.batch-2.onnx" in Bundle.load(out).manifest.files
    model = onnx.load(out / "model.batch-2.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert not unknown_sizes(model)
    # What is said of the values inside is what runs.
    said = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    inner = [name for node in model.graph.node for name in node.output if name in said]
    assert any("product" in name for name in inner)
    for name in inner:
        model.graph.output.append(next(value for value in model.graph.value_info if value.name == name))
    x = np.random.default_rng(0).standard_normal((2, 4, 64), dtype=np.float32)
    found = OnnxRuntime(model.SerializeToString(), optimized=False).run({"x": x})
    assert {name: list(found[name].shape) for name in inner} == {name: said[name] for name in inner}
    whole = OnnxRuntime(out / "model.onnx").run({"x": x})["y"]
    np.testing.assert_allclose(found["y"], whole, rtol=0, atol=5e-6 * np.abs(whole).max())


def test_another_fixed_batch_is_refused(tmp_path, onnx_model):
    text = "g (float[3,4,64] x) => (float[3,4,64] y) { y = Relu(x) }"
    onnx.save(onnx_model(text), tmp_path / "m.onnx")
    result = export(tmp_path / "m.onnx", "--out", tmp_path / "b", "--fixed-batch", "2", *FORCED)
    assert result.exit_code == 1
    assert "the model takes batches of 3 alone" in result.stderr
    assert not (tmp_path / "b").exists()


def test_another_dynamic_axis_is_refused(tmp_path, onnx_model):
    onnx.save(onnx_model("g (float[b,4,n] x) => (float[b,4,n] y) { y = Relu(x) }"), tmp_path / "m.onnx")
    result = export(tmp_path / "m.onnx", "--out", tmp_path / "b", "--fixed-batch", "2", *FORCED)
    assert result.exit_code == 1
    assert "--input-shape" in result.stderr


def test_nothing_is_written_unasked(tmp_path, path):
    result = export(path, "--out", tmp_path / "b", *FORCED)
    assert result.exit_code == 0
    write_fixed_batch(tmp_path / "b", None)
    assert not list((tmp_path / "b").glob("model.batch-*"))
    assert (
        json.loads((tmp_path / "b" / "bundle.json").read_text())["files"]
        .keys()
        .isdisjoint({"model.batch-1.onnx"})
    )
