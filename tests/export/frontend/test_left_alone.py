"""What the compiler does not understand stays exactly as it was, in models of other people's tools."""

import json
import logging
from collections import Counter

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.errors import InputError
from dashdeploy.export.frontend import onnx_files as limits
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

FORCED = ExportSettings(lowering="fft", tune="estimate")

TEXT = """g (float[b,4,60] x) => (float[b,3,60] y) {
    h = Conv<pads = [12,12], dilations = [3]>(x, v, c)  r = Relu(h)  y = Conv<pads = [4,4]>(r, w) }"""
WEIGHTS = {"v": (6, 4, 9), "c": (6,), "w": (3, 6, 9)}


def operators(model):
    return Counter(node.op_type for node in onnx.load(model).graph.node)


def both(path, bundle, **feeds):
    """The outputs of the file and of what was made of it."""
    models = (OnnxRuntime(path, threads=1), OnnxRuntime(bundle.path / "model.onnx", threads=1))
    return [list(model.run(feeds).values()) for model in models]


def signal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("f4")


class Calibration(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": signal(8, 4, 60)}])

    def get_next(self):
        return next(self.batches, None)


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_a_quantized_model_stays_as_it_is(tmp_path, onnx_model, form, caplog):
    caplog.set_level(logging.ERROR)
    onnx.save(onnx_model(TEXT, **WEIGHTS), tmp_path / "float.onnx")
    path = tmp_path / "m.onnx"
    quantize_static(
        tmp_path / "float.onnx",
        path,
        Calibration(),
        quant_format=form,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
        per_channel=True,
    )
    bundle = export(path, tmp_path / "out", FORCED)
    assert operators(bundle.path / "model.onnx") == operators(path)
    original, compiled = both(path, bundle, x=signal(3, 4, 60))
    np.testing.assert_array_equal(compiled[0], original[0])
    reasons = [layer["reason"] for layer in bundle.read_json("plan.json")["layers"]]
    assert reasons == ["the weight is not a constant of the model"] * (2 if form == QuantFormat.QDQ else 0)


def test_shared_weights_transposed_convolutions_and_other_domains(tmp_path, onnx_model):
    text = """g (float[b,4,60] x) => (float[b,4,m] y, float[b,4,60] z) {
        h = Conv<pads = [4,4]>(x, w)  r = Relu(h)  g = Conv<pads = [8,8], dilations = [2]>(r, w)
        z = com.microsoft.Gelu(g)  t = Transpose<perm = [1,0,2]>(w)
        y = ConvTranspose<strides = [2]>(z, t) }"""
    model = onnx_model(text, domains=', "com.microsoft" : 1', w=(4, 4, 9))
    onnx.save(model, tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    layers = bundle.read_json("plan.json")["layers"]
    assert len({layer["name"] for layer in layers}) == len(layers) == 2
    assert all(layer["chosen"].startswith("fft") for layer in layers)
    written = operators(bundle.path / "model.onnx")
    assert (written["ConvTranspose"], written["Gelu"], written["Conv"]) == (1, 1, 0)
    original, compiled = both(tmp_path / "m.onnx", bundle, x=signal(2, 4, 60))
    for got, expected in zip(compiled, original, strict=True):
        assert np.abs(got - expected).max() <= 5e-6 * np.abs(expected).max()


def test_a_dry_run_tells_everything_of_every_layer(tmp_path, onnx_model):
    text = """g (float[b,4,60] x, float[b,2,n] u, float[3,2,5] k) =>
        (float[b,3,60] y, float[b,3,m] q, float[b,2,i] s) {
        h = Conv<pads = [12,12], dilations = [3]>(x, v, c)  y = Conv<pads = [4,4]>(h, w)
        q = Conv(u, k)  s = Conv(u, o) }"""
    onnx.save(onnx_model(text, **WEIGHTS, o=(2, 2, 5)), tmp_path / "m.onnx")
    words = ["export", str(tmp_path / "m.onnx"), "--tune", "estimate", "--dry-run", "--json", "--quiet"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    plan = json.loads(result.stdout)
    first, second, given, dynamic = plan["layers"]
    assert first["spec"]["kernel"] == [9] and first["spec"]["dilations"] == [3]
    for layer in (first, second):
        chosen = [entry for entry in layer["candidates"] if entry["lowering"] == layer["chosen"]]
        assert chosen and layer["reason"]
        for entry in layer["candidates"]:
            assert entry["refused"] or entry["cost_ms"] is None or entry["cost_ms"] > 0
            assert entry["multiply_adds"] or entry["refused"]
    assert given["spec"] is dynamic["spec"] is None
    assert given["reason"] == "the weight is not a constant of the model"
    parameter, option = "`input_shapes=NAME=1,C,N`", "--input-shape NAME=1,C,N"
    assert parameter in dynamic["reason"]
    shown = CliRunner().invoke(app, [word for word in words if word != "--json"])
    for layer in plan["layers"]:
        assert layer["reason"].replace(parameter, option) in shown.stdout


def test_a_model_that_would_be_too_large_is_refused_in_a_line(tmp_path, onnx_model, monkeypatch):
    onnx.save(onnx_model(TEXT, **WEIGHTS), tmp_path / "m.onnx")
    monkeypatch.setattr(limits, "_LARGEST", (tmp_path / "m.onnx").stat().st_size)
    with pytest.raises(InputError, match=r"an ONNX file holds 2 GB; export it with `lowering=direct`"):
        export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    assert not (tmp_path / "out").exists()
    export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(lowering="direct"))
