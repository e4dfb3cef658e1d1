"""What exporters write: Paddle's dimensions of -1, weights that are inputs, doubles, recurrent outputs left out."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dashdeploy.errors import InputError
from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

FORCED = ExportSettings(lowering="fft", tune="estimate")

TEXT = "g (float[b,4,60] x) => (float[b,6,60] y) { y = Conv<pads = [12,12], dilations = [3]>(x, w, c) }"


def signal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("f4")


def test_dimensions_of_minus_one_are_dynamic(tmp_path, onnx_model):
    model = onnx_model(TEXT, w=(6, 4, 9), c=(6,))
    for axis in (0, 2):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = -1
    onnx.save(model, tmp_path / "m.onnx")
    (layer,) = plan_export(tmp_path / "m.onnx", FORCED).layers
    assert "the spatial size is dynamic" in layer.reason
    fixed = FORCED.model_copy(update={"input_shapes": {"x": (1, 4, 60)}})
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", fixed)
    assert bundle.read_json("plan.json")["layers"][0]["chosen"].startswith("fft")
    (spec,) = bundle.manifest.inputs
    assert isinstance(spec.shape[0], str) and spec.shape[1:] == (4, 60)


@pytest.mark.parametrize("ir_version", [3, 9])
def test_weights_that_are_inputs_as_well_are_weights(tmp_path, onnx_model, ir_version):
    """Every initializer up to IR version 3, and later what ``keep_initializers_as_inputs`` writes."""
    model = onnx_model(TEXT, opset=9, ir_version=ir_version, w=(6, 4, 9), c=(6,))
    for name, shape in (("w", [6, 4, 9]), ("c", [6])):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.save(model, tmp_path / "m.onnx")
    said = []
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED, progress=said.append)
    assert "w and 1 more are both weight and input of m.onnx: taken as weights" in said
    assert bundle.read_json("plan.json")["layers"][0]["chosen"].startswith("fft")
    assert [value.name for value in onnx.load(bundle.path / "model.onnx").graph.input] == ["x"]
    x = {"x": signal(2, 4, 60)}
    expected = OnnxRuntime(tmp_path / "m.onnx", threads=1).run(x)["y"]
    got = OnnxRuntime(bundle.path / "model.onnx", threads=1).run(x)["y"]
    assert np.abs(got - expected).max() <= 5e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("kind", "name"), [(TensorProto.DOUBLE, "double"), (TensorProto.BFLOAT16, "bfloat16")]
)
def test_a_precision_without_a_kernel_is_refused_with_a_mend(tmp_path, kind, name):
    weight = helper.make_tensor("w", kind, [4, 4, 9], np.ones(144).tolist())
    x, y = (helper.make_tensor_value_info(n, kind, ["b", 4, size]) for n, size in (("x", 60), ("y", 52)))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="c")], "g", [x], [y], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(
        InputError, match=rf"convolution 'c' computes in {name}, .* export the model in float32"
    ):
        export(tmp_path / "m.onnx", tmp_path / "out", FORCED)


@pytest.mark.parametrize("operator", ["LSTM", "GRU"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("first", ["", "gy"])
def test_a_recurrent_output_that_nobody_reads(tmp_path, onnx_model, operator, precision, first):
    """Left out, or written and described and read by nobody."""
    gates = 4 if operator == "LSTM" else 3
    node = f"{first or 'unread'}, hn = {operator}<hidden_size = 4>(t, gw, gr)"
    text = f"""g (float[1,8,64] x) => (float[1,1,4] hn) {{
        c = Conv<pads = [2,2]>(x, w)  t = Transpose<perm = [2,0,1]>(c)  {node} }}"""
    model = onnx_model(text, w=(16, 8, 5), gw=(1, 4 * gates, 16), gr=(1, 4 * gates, 4))
    model.graph.node[2].output[0] = first
    if first:
        model.graph.value_info.append(helper.make_tensor_value_info(first, TensorProto.FLOAT, [64, 1, 1, 4]))
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "samples.npz", x=signal(4, 8, 64))
    calibration = tmp_path / "samples.npz" if precision == "int8" else None
    settings = ExportSettings(tune="estimate", precision=precision, calibration=calibration)
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", settings)
    x = {"x": signal(1, 8, 64)}
    expected = OnnxRuntime(tmp_path / "m.onnx", threads=1).run(x)["hn"]
    got = OnnxRuntime(bundle.path / "model.onnx", threads=1).run(x)["hn"]
    allowed = {"fp32": 5e-6, "fp16": 5e-3, "int8": 0.1}[precision]
    assert np.abs(got - expected).max() <= allowed * np.abs(expected).max()
