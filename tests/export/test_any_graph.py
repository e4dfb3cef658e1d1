"""Any graph is exported right, or refused in one line: never a traceback, and never an invalid file."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

from dashdeploy.errors import DashdeployError, InputError
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.random_graphs import models

TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2}
"""Of the largest output: ten times what the parity gate allows, since it measures other inputs by the channel."""


ROUNDINGS = 8
"""Of the largest value within a model: an output may see nothing but padding, or cancel to 0."""


def check(model, **chosen):
    """Export a model, and compare; returns what refused it, if anything did."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "m.onnx", Path(folder) / "out"
        onnx.save(model, path)
        if chosen.get("precision") == "int8":
            chosen["calibration"] = write_calibration(path, Path(folder) / "samples.npz")
        try:
            bundle = export(path, out, ExportSettings(tune="estimate", **chosen))
        except DashdeployError as refusal:
            assert "\n" not in str(refusal).strip()
            assert not out.exists()
            return refusal
        onnx.checker.check_model(bundle.path / "model.onnx", full_check=True)
        assert verify(bundle.path).data["good"]
        compiled = OnnxRuntime(bundle.path / "model.onnx")
        examples = ExampleInputs.of(compiled.run, compiled.inputs)
        feeds = examples.feeds(1, np.random.default_rng(3))
        got = compiled.run(feeds)
        try:
            expected = OnnxRuntime(path).run(feeds)
        except Exception:
            # What ONNX Runtime refuses when it runs, the compiler writes out.
            assert has_automatic_padding_with_dilation(model)
            return None
        if bundle.manifest.precision == "int8":
            return None  # eight bits of random numbers: `verify` has compared by its own measure
        rounding = ROUNDINGS * np.finfo(np.float32).eps * largest_within(model, Path(folder), feeds)
        for name, value in expected.items():
            wanted, given_ = value.astype(np.float64), got[name].astype(np.float64)
            assert given_.shape == wanted.shape
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-6)
            allowed = TOLERANCE[bundle.manifest.precision] * scale + rounding
            assert np.allclose(given_, wanted, rtol=0, atol=allowed, equal_nan=True)
    return None


def largest_within(model, folder, feeds):
    """The largest magnitude of a floating-point value within a model."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    known = {each.name for each in copy.graph.output}
    names = [name for node in copy.graph.node for name in node.output if name and name not in known]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    onnx.save(copy, folder / "all.onnx")
    values = [*OnnxRuntime(folder / "all.onnx").run(feeds).values(), *feeds.values()]
    floats = [np.abs(each[np.isfinite(each)]) for each in values if each.dtype.kind == "f"]
    return max(float(each.max(initial=0)) for each in floats)


def has_automatic_padding_with_dilation(model):
    attributes = [
        {each.name: helper.get_attribute_value(each) for each in node.attribute} for node in model.graph.node
    ]
    return any(max(each.get("dilations", [1])) > 1 and "auto_pad" in each for each in attributes)


def write_calibration(path, out):
    """Random inputs for as many samples as the model takes; none where it does not run at all."""
    try:
        original = OnnxRuntime(path)
        feeds = ExampleInputs.of(original.run, original.inputs).feeds(1, np.random.default_rng(0))
    except Exception:  # it is refused later, with a reason
        return None
    np.savez(out, **feeds)
    return out


def text_model(text, opset=18, **weights):
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> {text}')
    generator = np.random.default_rng(0)
    for name, shape in weights.items():
        array = generator.standard_normal(shape, "f4" if name != "double" else "f8")
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def test_an_output_that_is_declared_with_an_axis_too_many_gets_its_own_shape(tmp_path):
    text = """g (float[b,4,20] x) => (float[b,k,m] y) { h = Conv(x, w)
        i = Constant<value = int64 {-1}>()  y = Gather<axis = 2>(h, i) }"""
    onnx.save(text_model(text, w=(6, 4, 3)), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(tune="estimate"))
    onnx.checker.check_model(bundle.path / "model.onnx", full_check=True)
    (output,) = bundle.manifest.outputs
    assert output.shape[1:] == (6,)


def test_half_precision_of_a_split_of_which_a_part_is_not_read():
    text = """g (float[b,4,20] x) => (float[b,6,18] y) { s = Constant<value = int64[2] {4,2}>()
        c = Concat<axis = 1>(x, x)  t = Constant<value = int64[3] {4,3,1}>()
        p, q, r = Split<axis = 1>(c, t)  y = Conv(p, w) }"""
    assert check(text_model(text, w=(6, 4, 3)), precision="fp16") is None


def test_int8_with_a_state_of_one_channel_whose_batch_comes_second():
    text = """g (float[b,1,20] x, float[1,b,1] s) => (float[b,6,18] y) {
        t = Transpose<perm = [1,0,2]>(s)  c = Add(x, t)  y = Conv(c, w) }"""
    assert check(text_model(text, w=(6, 1, 3)), precision="int8", lowering="direct") is None


def test_calibration_data_that_is_too_short_is_refused(tmp_path):
    text = "g (float[b,4,n] x) => (float[b,6,m] y) { y = Conv(x, w) }"
    onnx.save(text_model(text, w=(6, 4, 9)), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", x=np.zeros((3, 4, 5), "f4"))
    chosen = ExportSettings(tune="estimate", precision="int8", calibration=tmp_path / "c.npz")
    with pytest.raises(InputError, match=r"`calibration=.*c\.npz`: the model does not run on them"):
        export(tmp_path / "m.onnx", tmp_path / "out", chosen)


def test_an_output_without_elements_is_equal_to_itself():
    text = """g (float[b,4,20] x) => (float[b,6,18] y, float[b,6,n] z) { y = Conv(x, w)
        i = Constant<value = int64[1] {5}>()  a = Constant<value = int64[1] {2}>()  z = Slice(y, i, i, a) }"""
    assert check(text_model(text, w=(6, 4, 3)), lowering="fft") is None


def test_double_precision_is_refused_with_a_mend_where_padding_was_written_out():
    text = """g (double[b,4,20] x) => (double[b,6,20] y) {
        y = Conv<auto_pad = "SAME_UPPER", dilations = [2]>(x, double) }"""
    assert "export the model in float32" in str(check(text_model(text, double=(6, 4, 3))))


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(models())
def test_a_graph_is_exported_or_refused(model):
    check(model, lowering="fft")


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    models(),
    st.sampled_from(["auto", "auto", "fft", "direct"]),
    st.sampled_from(["fp32", "fp32", "fp16", "int8"]),
)
def test_a_graph_is_exported_or_refused_in_every_way(model, lowering, precision):
    check(model, lowering=lowering, precision=precision)
