"""Errors go by each channel's own size, and the reference's own noise is allowed for."""

import numpy as np
import onnx
import pytest

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.frontend.source import load_source
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import TOLERANCE, expectation, input_sets, refuse_failed
from dashdeploy.export.verify.parity_report import Parity, compare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


def test_a_small_channel_counts_as_much_as_a_large_one():
    expected = np.ones((2, 3, 50), "f4") * np.float32([[[1000.0]], [[1.0]], [[0.0]]]).reshape(1, 3, 1)
    got = expected.copy()
    got[1, 1, 7] += 2e-3
    entry = compare("y", "random", got, expected)
    assert entry.max_relative_error == pytest.approx(2e-3, rel=1e-3)
    assert entry.max_abs_error == pytest.approx(2e-3, rel=1e-3)
    # The same with the channels last, as Keras has them.
    last = compare("y", "random", got.transpose(0, 2, 1), expected.transpose(0, 2, 1))
    assert last.max_relative_error == entry.max_relative_error
    # A channel that is all zero goes by the whole output.
    got = expected.copy()
    got[0, 2, 0] = 1e-3
    assert compare("y", "random", got, expected).max_relative_error == pytest.approx(1e-6)
    # Classes are not channels: a single score may be near zero.
    rows = compare("y", "random", np.float32([[10, 1e-6]]), np.float32([[10, 2e-6]]))
    assert rows.max_relative_error == pytest.approx(1e-7)


def test_noise_excuses_its_own_channel_and_no_more_than_twice_itself():
    expected, noise = np.ones((1, 2, 9)), np.zeros((1, 2, 9))
    noise[0, 1] = 1e-4
    for channel, error, passes in ((1, 1.9e-4, True), (1, 2.3e-4, False), (0, 1.9e-4, False)):
        got = expected.copy()
        got[0, channel, 3] += error
        entry = compare("y", "random", got, expected, noise)
        assert entry.max_relative_error == pytest.approx(error)
        parity = Parity(precision="fp32", reference="r", tolerance=1e-5, outputs=[entry])
        assert (not parity.failed) == passes == (parity.strain <= 1)
    wild = compare("y", "random", expected + 0.5, expected, noise + 0.4)
    assert Parity(precision="fp32", reference="r", tolerance=1e-5, outputs=[wild]).failed


def steep(path, onnx_model, gain):
    """What it says moves by `gain` times a move of the input."""
    text = "g (float[b,4,50] x) => (float[b,4,50] y) { h = Mul(x, gain) y = Sin(h) }"
    model = onnx_model(text, gain=np.float32(gain))
    onnx.save(model, path)
    return load_source(path, {})


def test_a_reference_is_not_asked_to_agree_better_than_with_itself(tmp_path, onnx_model):
    source = steep(tmp_path / "m.onnx", onnx_model, 1000.0)
    expected = expectation(source, OnnxRuntime(tmp_path / "m.onnx").inputs, {})

    def shifted(by):
        return [{name: value + np.float32(by) for name, value in each.items()} for each in expected.outputs]

    parity = expected.compare(shifted(1e-4), "fp32", TOLERANCE["fp32"])
    assert parity.worst == pytest.approx(1e-4, rel=0.02) and not parity.failed
    # A unit in the last place of a number between 1 and 2 is 1.2e-7, and the sine is no steeper than its argument.
    assert all(0.5e-4 <= entry.noise <= 2.5e-4 for entry in parity.outputs)
    assert "and twice the reference's own noise" in parity.allowed_in_words
    with pytest.raises(GateError, match=r"tolerance 1e-05 and twice the reference's own noise, \d\.\de-04"):
        refuse_failed(expected.compare(shifted(1e-3), "fp32", TOLERANCE["fp32"]))
    calm = steep(tmp_path / "calm.onnx", onnx_model, 1.0)
    expected = expectation(calm, OnnxRuntime(tmp_path / "calm.onnx").inputs, {})
    assert expected.compare(shifted(1e-4), "fp32", TOLERANCE["fp32"]).failed


def test_noise_is_not_measured_where_nothing_needs_it(tmp_path, onnx_model):
    source = steep(tmp_path / "m.onnx", onnx_model, 1.0)
    asked = []

    def counted(feeds):
        asked.append(feeds)
        return source.reference(feeds)

    inputs = OnnxRuntime(tmp_path / "m.onnx").inputs
    expected = Expectation(counted, "r", inputs, input_sets(source.reference, inputs, {}))
    assert not expected.compare(expected.outputs, "fp32", 1e-5).failed
    assert len(asked) == 2


def test_a_random_reference_is_no_noise(onnx_model):
    model = onnx_model("g (float[b,5] x) => (float[b,5] y) { r = RandomNormalLike(x) y = Add(x, r) }")
    runtime = OnnxRuntime(model.SerializeToString(), threads=1)
    expected = Expectation(runtime.run, "r", runtime.inputs, input_sets(runtime.run, runtime.inputs, {}))
    with pytest.raises(InputError, match="output y differs between two runs"):
        expected.compare([runtime.run(feeds) for _, feeds in expected.sets], "fp32", 1e-5)


def test_small_probabilities_are_exported(tmp_path, onnx_model):
    """Sigmoid's own last bit is 1e-4 of probabilities around 6e-4: the reference differs from itself by that."""
    text = """g (float[b,32,500] x) => (float[b,1,500] y) {
        c = Conv<pads = [7,7]>(x, w)  n = BatchNormalization(c, s, t, m, v)
        z = Conv(n, head, offset)  y = Sigmoid(z) }"""
    r = np.random.default_rng(0)
    model = onnx_model(
        text,
        w=(32, 32, 15),
        s=r.uniform(0.5, 2, 32).astype("f4"),
        t=r.standard_normal(32).astype("f4"),
        m=(0.1 * r.standard_normal(32)).astype("f4"),
        v=r.uniform(0.5, 2, 32).astype("f4"),
        head=(0.05 * r.standard_normal((1, 32, 1)) / np.sqrt(32)).astype("f4"),
        offset=np.float32([-7.5]),
    )
    onnx.save(model, tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(lowering="fft", tune="estimate"))
    assert bundle.read_json("plan.json")["layers"][0]["chosen"].startswith("fft")
    entries = bundle.read_json("parity.json")["outputs"]
    assert max(entry["max_relative_error"] for entry in entries) > 1e-5
    assert all(entry["max_relative_error"] <= 1e-5 + 2 * entry["noise"] for entry in entries)
