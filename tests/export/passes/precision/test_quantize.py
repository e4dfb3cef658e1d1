"""Eight bits: numbers against float32, the form that TensorRT takes, and the gates."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.passes.sequence import lower, prepare, to_int8
from dashdeploy.export.pipeline import export, export_source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

NETWORK = (
    "g (float[%s,4,64] x) => (float[%s,6,64] y) "
    '{ c = Conv<pads = [15,15], dilations = [3]>(x, "stem.weight") h = Relu(c) '
    'y = Conv<pads = [1,1]>(h, "head.weight") }'
)
WEIGHTS = {"stem.weight": (6, 4, 11), "head.weight": (6, 6, 3)}


def network(onnx_model, batch="b"):
    return onnx_model(NETWORK % (batch, batch), **WEIGHTS)


@pytest.fixture
def samples():
    return np.random.default_rng(0).standard_normal((70, 4, 64)).astype("f4")


def operators(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("lowering", ["direct", "fft"])
def test_the_error_is_that_of_eight_bits(onnx_model, fft, samples, lowering):
    model = network(onnx_model)
    layers = ["stem", "head"] if lowering == "fft" else []
    compiled = fft(model, expected=2) if layers else prepare(ir.from_proto(model))
    quantized = to_int8(compiled, layers, {"x": samples})
    onnx.checker.check_model(ir.to_proto(quantized))
    got = OnnxRuntime(ir.to_proto(quantized).SerializeToString(), threads=1).run({"x": samples})["y"]
    expected = OnnxRuntime(model.SerializeToString(), threads=1).run({"x": samples})["y"]
    error = np.abs(got - expected).max() / np.abs(expected).max()
    if lowering == "fft":  # the compiled layers stay float32, and nothing else is here
        assert error < 1e-5
        assert "DequantizeLinear" not in operators(quantized)
        return
    # 255 steps over the range, of input, weight and activation, twice; 5 % is generous, 0.2 % is not quantized.
    assert 2e-3 < error < 0.05
    kinds = operators(quantized)
    assert kinds.count("Conv") == 2
    assert {"QuantizeLinear", "DequantizeLinear"} < set(kinds)
    zero_points = [v for name, v in quantized.graph.initializers.items() if "zero_point" in name]
    assert zero_points
    for value in zero_points:  # symmetric, as TensorRT wants it
        assert value.dtype == ir.DataType.INT8
        assert not value.const_value.numpy().any()


def test_products_of_a_compiled_layer_stay_in_float(onnx_model, samples):
    """Also where they are a grouped Conv, an operator that is quantized elsewhere."""
    lowerings = {"stem": FFT((24,), product_form="grouped")}
    model = network(onnx_model)
    quantized = to_int8(lower(prepare(ir.from_proto(model)), lowerings), ["stem"], {"x": samples})
    dequantized = {node.outputs[0] for node in quantized.graph if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in quantized.graph if node.op_type == "Conv"]
    assert sum(node.name.startswith("stem/product") for node in convolutions) == 3
    for node in convolutions:
        compiled = node.name.startswith("stem/")
        assert (node.inputs[0] in dequantized) == (node.inputs[1] in dequantized) == (not compiled)


def test_a_fixed_batch_is_calibrated_and_checked_in_its_batches(tmp_path, onnx_model, samples):
    onnx.save(network(onnx_model, batch=1), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", x=samples[:5])
    settings = ExportSettings(
        precision="int8", calibration=tmp_path / "c.npz", lowering="direct", tune="estimate"
    )
    parity = export(tmp_path / "m.onnx", tmp_path / "out", settings).read_json("parity.json")
    assert [entry["inputs"] for entry in parity["outputs"]] == [
        "random, batch 1, not judged",
        "validation, batch 5",
    ]
    assert parity["accuracy"] is None


@pytest.mark.parametrize(("target", "device", "largest"), [("ort-cpu", None, 64), ("tensorrt", "a100", 127)])
def test_weights_for_a_cpu_have_seven_bits(tmp_path, onnx_model, samples, target, device, largest):
    onnx.save(network(onnx_model), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", x=samples)
    settings = ExportSettings(
        target=target,
        device=device,
        precision="int8",
        calibration=tmp_path / "c.npz",
        lowering="direct",
        tune="estimate",
    )
    file = export(tmp_path / "m.onnx", tmp_path / "out", settings).path / "model.onnx"
    stored = [onnx.numpy_helper.to_array(value) for value in onnx.load(file).graph.initializer]
    assert [np.abs(v.astype(int)).max() for v in stored if v.dtype == np.int8 and v.ndim > 1] == [largest] * 2
    if target != "ort-cpu":
        return
    # A session of the user's own, with no option for processors that saturate.
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (got,) = session.run(["y"], {"x": samples})
    expected = OnnxRuntime(tmp_path / "m.onnx", threads=1).run({"x": samples})["y"]
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


def test_without_data_there_is_nothing_to_calibrate_on(tmp_path, onnx_model):
    onnx.save(network(onnx_model), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"give `samples=FILE\.npz`"):
        export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(precision="int8", tune="estimate"))
    assert not (tmp_path / "out").exists()


def test_a_run_brings_its_own_data_and_the_accuracy_is_reported(tmp_path, small_source):
    settings = ExportSettings(precision="int8", lowering="direct", tune="estimate", max_accuracy_drop=1)
    bundle = export_source(small_source, tmp_path / "out", settings)
    parity = bundle.read_json("parity.json")
    got = OnnxRuntime(bundle.path / "model.onnx").run(small_source.samples)["logits"]
    right = np.mean(got.argmax(1) == small_source.targets)
    assert parity["accuracy"] == {
        "measure": "accuracy",
        "samples": 20,
        "reference": 1,
        "model": pytest.approx(right),
        "allowed_drop": 1,
    }
    assert parity["outputs"][-1]["top1_agreement"] == pytest.approx(right)


def test_a_drop_of_accuracy_writes_nothing(tmp_path, small_source):
    # Calibrated on almost nothing, every activation is cut off.
    np.savez(tmp_path / "tiny.npz", inputs=0.01 * small_source.samples["input"])
    settings = ExportSettings(
        precision="int8",
        lowering="direct",
        tune="estimate",
        calibration=tmp_path / "tiny.npz",
        max_accuracy_drop=0,
    )
    with pytest.raises(GateError, match=r"int8|accuracy") as error:
        export_source(small_source, tmp_path / "out", settings)
    assert error.value.exit_code == 4
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_torch_files_follow_the_plan_of_the_bundle(tmp_path, small_source):
    settings = ExportSettings(
        precision="int8",
        lowering="fft",
        tune="estimate",
        max_accuracy_drop=1,
        artifacts=ArtifactSettings(torchscript=True),
    )
    bundle = export_source(small_source, tmp_path / "out", settings)
    sidecar = json.loads((bundle.path / "model.ts.json").read_text())
    plan = {layer["name"]: layer["chosen"] for layer in bundle.read_json("plan.json")["layers"]}
    assert sidecar["layers"] == plan
