"""Half precision as far as parity allows: what spoils it stays in float32, the rest is converted."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import dashdeploy
from dashdeploy.data.scaling.scaling import Scaled, scaling_of
from dashdeploy.errors import GateError
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

HALF = ExportSettings(lowering="direct", precision="fp16")

# Of what `s` holds only the smallest values are kept, beside which a rounding of the largest is large.
TEXT = """g (float[b,8,100] x) => (float[b,8,100] y, float[b,8,100] z) {
    p = Conv<pads = [4,4]>(x, plain)  y = Relu(p)
    s = Conv<pads = [4,4]>(x, sharp)  z = Clip(s, low, high) }"""


def constants(**weights):
    return {**weights, "low": np.float32(-0.005), "high": np.float32(0.005)}


def test_the_layer_that_spoils_parity_stays_in_float32(tmp_path, onnx_model):
    onnx.save(onnx_model(TEXT, **constants(plain=(8, 8, 9), sharp=(8, 8, 9))), tmp_path / "m.onnx")
    said = []
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", HALF, progress=said.append)
    parity = bundle.read_json("parity.json")
    assert parity["kept_in_fp32"] == ["s"]
    assert "in float32 for the sake of parity: s" in said
    written = onnx.load(bundle.path / "model.onnx")
    types = {init.name: init.data_type for init in written.graph.initializer}
    halves = [name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT16]
    assert any(name.startswith("plain") for name in halves)
    assert not any(name.startswith("sharp") for name in halves)
    x = {"x": np.random.default_rng(0).standard_normal((2, 8, 100)).astype("f4")}
    expected = OnnxRuntime(tmp_path / "m.onnx", threads=1).run(x)
    got = OnnxRuntime(bundle.path / "model.onnx", threads=1).run(x)
    for name, value in expected.items():
        assert np.abs(got[name] - value).max() <= 5e-3 * np.abs(value).max()


def test_what_cannot_be_half_at_all_is_refused(tmp_path, onnx_model):
    text = "g (float[b,8,100] x) => (float[b,8,100] z) { s = Conv<pads = [4,4]>(x, sharp) z = Clip(s, low, high) }"
    onnx.save(onnx_model(text, **constants(sharp=(8, 8, 9))), tmp_path / "m.onnx")
    with pytest.raises(GateError, match="fp16 does not hold this model; choose another `precision`"):
        export(tmp_path / "m.onnx", tmp_path / "out", HALF)


@pytest.mark.parametrize("normalize", ["channels", "samples", "sizes"])
@pytest.mark.parametrize("lowering", ["direct", "fft"])
def test_what_scales_the_inputs_stays_in_float32_where_half_precision_cannot_hold_them(
    tmp_path, normalize, lowering
):
    """Series of 1e-3 to 1e3 beside a mean of 1e5, which is infinite in half precision."""
    torch.manual_seed(0)
    x = torch.randn(40, 2, 60) * torch.logspace(-3, 3, 40)[:, None, None] + 1e5
    channels = 6 if normalize == "sizes" else 2
    body = nn.Sequential(nn.Conv1d(channels, 8, 9, padding=4), nn.ReLU(), nn.Conv1d(8, 4, 9, padding=4))
    module = Scaled(body, scaling_of(x, None, normalize), rank=1, dense=True).eval()
    said = []
    bundle = dashdeploy.compile(
        module,
        x,
        out=tmp_path / "b",
        precision="fp16",
        lowering=lowering,
        tune="estimate",
        progress=said.append,
    )
    assert "what is done to the inputs first stays in float32 for the sake of parity" in said
    model = OnnxRuntime(bundle.path / "model.onnx", threads=1)
    (got,) = model.run({model.inputs[0].name: x.numpy()}).values()
    expected = module(x).detach().numpy()
    assert np.abs(got - expected).max() <= 5e-3 * np.abs(expected).max()
    types = {init.data_type for init in onnx.load(bundle.path / "model.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
