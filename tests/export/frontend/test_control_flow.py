"""Convolutions beside and within bodies of control flow that read the main graph's values and weights."""

import numpy as np
import onnx
import pytest

from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

FORCED = ExportSettings(lowering="fft", tune="estimate")

BRANCHES = """g (float[b,4,60] x, bool c) => (float[b,4,60] y, float[b,4,60] z) {
    p = Constant<value = int64[6] {0,0,4,0,0,4}>()
    q = Pad(x, p)  h = Conv(q, w)
    n = BatchNormalization(h, s, t, t, s)  r = Relu(n)
    y = Conv<pads = [8,8], dilations = [2]>(r, w)
    z = If(c) <
        then_branch = one () => (float[b,4,60] a) { k = Conv<pads = [4,4]>(r, w)  l = Conv(q, w)  a = Add(k, l) },
        else_branch = two () => (float[b,4,60] e) { e = Add(n, h) }
    > }"""
LOOP = """g (float[b,4,60] x) => (float[b,4,60] y) {
    h = Conv<pads = [4,4]>(x, w)  r = Relu(h)
    m = Constant<value = int64 {3}>()  c = Constant<value = bool {1}>()
    u = Loop(m, c, r) <body = step (int64 i, bool o, float[b,4,60] v) => (bool k, float[b,4,60] a) {
        k = Identity(o)  d = Conv<pads = [4,4]>(v, w)  e = Add(d, h)  a = Tanh(e) }>
    y = Conv<pads = [4,4]>(u, w) }"""
WEIGHTS = {"w": (4, 4, 9), "s": np.linspace(0.5, 2, 4).astype("f4"), "t": np.linspace(0.1, 1, 4).astype("f4")}


@pytest.mark.parametrize(
    ("text", "flags", "lowered"), [(BRANCHES, (True, False), (1, 1, 0, 0)), (LOOP, (None,), (1, 0, 0))]
)
def test_bodies_see_the_values_and_weights_that_they_saw(tmp_path, onnx_model, text, flags, lowered):
    """A loop's output has no known shape: what reads it stays direct, like the bodies."""
    weights = WEIGHTS if text == BRANCHES else {"w": WEIGHTS["w"]}
    onnx.save(onnx_model(text, **weights), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    layers = bundle.read_json("plan.json")["layers"]
    assert tuple(int(layer["chosen"].startswith("fft")) for layer in layers) == lowered
    assert "control flow" in layers[-1]["reason"]
    onnx.checker.check_model(bundle.path / "model.onnx", full_check=True)
    x = np.random.default_rng(0).standard_normal((2, 4, 60)).astype("f4")
    for flag in flags:
        feeds = {"x": x} if flag is None else {"x": x, "c": np.array(flag)}
        first, second = (
            OnnxRuntime(path, threads=1).run(feeds)
            for path in (tmp_path / "m.onnx", bundle.path / "model.onnx")
        )
        for name, expected in first.items():
            assert np.abs(second[name] - expected).max() <= 5e-6 * np.abs(expected).max()
