"""A model that is in half precision or in eight bits already is called what it is, and is not converted again."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from dashdeploy.errors import InputError
from dashdeploy.export.deploy.add_artifacts import add_artifacts
from dashdeploy.export.frontend.source_precision import source_precision
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify

FORCED = ExportSettings(lowering="fft", tune="estimate")

HALF = "g (float16[b,8,256] x) => (float16[b,8,256] y) { y = Conv<pads = [15,15]>(x, w) }"
MIXED = """g (float[b,8,256] x) => (float[b,8,256] y) {
    a = Cast<to = 10>(x)  b = Conv<pads = [15,15]>(a, w)  c = Cast<to = 1>(b)  y = Conv<pads = [15,15]>(c, v) }"""
FLOAT = "g (float[b,8,256] x) => (float[b,8,256] y) { r = Conv<pads = [15,15]>(x, v) y = Relu(r) }"


def weight(dtype):
    return (np.random.default_rng(0).standard_normal((8, 8, 31)) / 16).astype(dtype)


class Samples(CalibrationDataReader):
    def __init__(self):
        x = np.random.default_rng(0).standard_normal((4, 8, 256)).astype("f4")
        self.batches = iter([{"x": x}])

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(params=["half", "mixed", "int8"])
def lowered(request, tmp_path, onnx_model):
    """(path, its precision)."""
    path = tmp_path / "m.onnx"
    if request.param == "int8":
        onnx.save(onnx_model(FLOAT, v=weight("f4")), tmp_path / "float.onnx")
        quantize_static(
            tmp_path / "float.onnx",
            path,
            Samples(),
            quant_format=QuantFormat.QDQ,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
        )
        return path, "int8"
    text, weights = (HALF, {}) if request.param == "half" else (MIXED, {"v": weight("f4")})
    onnx.save(onnx_model(text, w=weight("f2"), **weights), path)
    return path, "fp16"


def test_it_is_called_what_it_is_everywhere(tmp_path, lowered):
    path, precision = lowered
    bundle = export(path, tmp_path / "out", FORCED)
    assert bundle.manifest.precision == precision
    parity = bundle.read_json("parity.json")
    assert parity["precision"] == precision
    assert parity["tolerance"] == pytest.approx({"fp16": 5e-3, "int8": 2 / 127}[precision])
    assert verify(bundle.path).data["good"]
    artifacts = FORCED.artifacts.model_copy(update={"triton_repository": tmp_path / "repository"})
    add_artifacts(bundle.path, None, ExportSettings(artifacts=artifacts))
    config = (tmp_path / "repository" / "out" / "config.pbtxt").read_text()
    assert f'string_value: "{precision}"' in config


@pytest.mark.parametrize("wanted", ["fp16", "int8"])
def test_it_is_not_converted_again(tmp_path, lowered, wanted):
    path, precision = lowered
    with pytest.raises(InputError) as error:
        export(path, tmp_path / "out", FORCED.model_copy(update={"precision": wanted}))
    message = str(error.value)
    assert message.startswith(f"`precision={wanted}`: {path} computes in {precision} already")
    assert "\n" not in message and not (tmp_path / "out").exists()


def test_a_float_model_is_float(onnx_model):
    assert source_precision(ir.from_proto(onnx_model(FLOAT, v=weight("f4")))) == "fp32"
    table = onnx_model(FLOAT.replace("Relu(r)", "Mul(r, one)"), v=weight("f4"), one=np.float32(1))
    assert source_precision(ir.from_proto(table)) == "fp32"


def test_half_precision_in_openvino_is_judged_as_such(tmp_path, onnx_model):
    pytest.importorskip("openvino")
    onnx.save(onnx_model(HALF, w=weight("f2")), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED.model_copy(update={"target": "openvino"}))
    assert (
        1e-5
        < max(entry["max_relative_error"] for entry in bundle.read_json("parity.json")["outputs"])
        <= 5e-3
    )
