"""Real inputs of the user's: every precision is checked on them, and what does not fit is refused in a line."""

import numpy as np
import onnx
import pytest

from dashdeploy.errors import InputError
from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify

STATE = """g (float[b,8,40] x, float[1,b,4] h0, int64 rate) => (float[p,q] y, float[1,r,4] hn) {
    c = Conv<pads = [2,2]>(x, w)  t = Transpose<perm = [2,0,1]>(c)
    gy, hn = GRU<hidden_size = 4>(t, gw, gr, none, none, h0)  s = Squeeze(hn, zero)
    f = Cast<to = 1>(rate)  y = Mul(s, f) }"""
PLAIN = "g (float[b,8,64] x) => (float[b,8,n] y) { y = Conv(x, w) }"
ESTIMATED = {"tune": "estimate", "lowering": "direct"}


def labels(bundle):
    return list(dict.fromkeys(entry["inputs"] for entry in bundle.read_json("parity.json")["outputs"]))


@pytest.fixture
def plain(tmp_path, onnx_model):
    onnx.save(onnx_model(PLAIN, w=(8, 8, 9)), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def stateful(tmp_path, onnx_model):
    model = onnx_model(STATE, w=(16, 8, 5), gw=(1, 12, 16), gr=(1, 12, 4), zero=np.array([0]))
    gru = next(node for node in model.graph.node if node.op_type == "GRU")
    gru.input[3] = gru.input[4] = ""
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def real(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, "f4") + 7


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_is_checked_on_them(tmp_path, plain, precision):
    given = real((5, 8, 64))
    np.savez(tmp_path / "s.npz", x=given, y_train=np.zeros(5))
    settings = ExportSettings(samples=tmp_path / "s.npz", precision=precision, **ESTIMATED)
    said = []
    bundle = export(plain, tmp_path / "out", settings, progress=said.append)
    assert any(label.startswith("samples, batch 5") for label in labels(bundle))
    assert "s.npz: y_train is not an input of the model and is not used" in said
    (sample,) = bundle.read_json("sample.json")["inputs"]
    assert sample["shape"] == [1, 8, 64]
    assert np.array_equal(np.float32(sample["data"]), given[0].ravel())
    assert verify(bundle.path).data["good"]


def test_samples_lie_along_each_inputs_own_batch(tmp_path, stateful):
    given = {"x": real((5, 8, 40)), "h0": real((1, 5, 4), 1), "rate": np.array(16000)}
    np.savez(tmp_path / "s.npz", **given)
    for precision in ("fp32", "int8"):
        settings = ExportSettings(samples=tmp_path / "s.npz", precision=precision, **ESTIMATED)
        bundle = export(stateful, tmp_path / precision, settings)
        assert "samples, batch 5" in labels(bundle)
        x, h0, rate = bundle.read_json("sample.json")["inputs"]
        assert (x["shape"], h0["shape"], rate["shape"]) == ([1, 8, 40], [1, 1, 4], [])
        assert np.array_equal(np.float32(h0["data"]), given["h0"][0, 0])
        assert rate["data"] == [16000]


def test_a_fixed_batch_takes_several_calls(tmp_path, onnx_model):
    onnx.save(onnx_model(PLAIN.replace("[b,", "[2,"), w=(8, 8, 9)), tmp_path / "m.onnx")
    np.savez(tmp_path / "s.npz", x=real((5, 8, 64)))
    bundle = export(
        tmp_path / "m.onnx", tmp_path / "out", ExportSettings(samples=tmp_path / "s.npz", **ESTIMATED)
    )
    assert labels(bundle) == ["random, batch 2", "samples, batch 5"]
    assert bundle.read_json("sample.json")["inputs"][0]["shape"] == [2, 8, 64]


def test_a_model_that_does_not_run_on_random_inputs_is_checked_on_them_alone(tmp_path, onnx_model):
    """It cuts a tensor in three at a size that a random 0 or 1 is not."""
    text = """g (float[b,8,64] x, int64[1] size) => (float[b,8,n] y) {
        c = Conv(x, w)  rest = Sub(whole, size)  sizes = Concat<axis = 0>(size, rest)
        three = Sub(size, few)  far = Concat<axis = 0>(three, rest, few)
        one, two, last = Split<axis = 2>(c, far)  y = Relu(one) }"""
    model = onnx_model(text, w=(8, 8, 9), whole=np.array([56]), few=np.array([30]))
    onnx.save(model, tmp_path / "m.onnx")
    settings = ExportSettings(**ESTIMATED)
    with pytest.raises(InputError, match="does not run on random inputs"):
        export(tmp_path / "m.onnx", tmp_path / "out", settings)
    np.savez(tmp_path / "s.npz", x=real((3, 8, 64)), size=np.array([40]))
    settings = ExportSettings(samples=tmp_path / "s.npz", **ESTIMATED)
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", settings)
    assert labels(bundle) == ["samples, batch 3"]
    assert verify(bundle.path).data["good"]  # on sample.json


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": real((5, 8, 64))}, "has no array x; it has X"),
        ({"x": real((5, 8, 65))}, r"x has the shape \[5, 8, 65\], but the model's is b x 8 x 64"),
        ({"x": real((8, 64))}, r"x has the shape \[8, 64\]"),
        ({"x": real((0, 8, 64))}, r"x has the shape \[0, 8, 64\]"),
        ({"x": np.zeros((5, 8, 64))}, "x is float64, but the model's is float32; save it as float32"),
        ({"x": real((5, 8, 64)) * np.float32(np.nan)}, "x holds infinities or not-a-numbers"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(tmp_path, plain, arrays, message):
    np.savez(tmp_path / "s.npz", **arrays)
    settings = ExportSettings(samples=tmp_path / "s.npz", **ESTIMATED)
    for refusing in (lambda: plan_export(plain, settings), lambda: export(plain, tmp_path / "out", settings)):
        with pytest.raises(InputError, match=r"`samples=.*s\.npz`.*" + message) as error:
            refusing()
        assert "\n" not in str(error.value)


def test_inputs_that_disagree_are_refused(tmp_path, stateful):
    np.savez(tmp_path / "s.npz", x=real((5, 8, 40)), h0=real((1, 4, 4)), rate=np.array(1))
    with pytest.raises(InputError, match="differ in their number of samples: x 5, h0 4"):
        plan_export(stateful, ExportSettings(samples=tmp_path / "s.npz", **ESTIMATED))


def test_more_than_are_taken_are_left_out(tmp_path, plain):
    np.savez(tmp_path / "s.npz", x=real((300, 8, 64)))
    said = []
    settings = ExportSettings(samples=tmp_path / "s.npz", **ESTIMATED)
    bundle = export(plain, tmp_path / "out", settings, progress=said.append)
    assert "taking the first 256 of 300 samples" in said
    assert "samples, batch 256" in labels(bundle)


def test_a_run_has_its_own(tmp_path, finished_run):
    np.savez(tmp_path / "s.npz", input=real((5, 2, 64)))
    with pytest.raises(InputError, match=r"`samples` is for models without any: .* has validation samples"):
        plan_export(finished_run[0], ExportSettings(samples=tmp_path / "s.npz", **ESTIMATED))
