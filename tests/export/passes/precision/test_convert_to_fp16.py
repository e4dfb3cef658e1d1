"""Half precision: numbers against float32, and what a model must look like that TensorRT takes."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.passes.precision.convert_to_fp16 import COMPILED_IN_FP16
from dashdeploy.export.passes.sequence import lower, prepare, simulate_fp16, to_fp16
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

NETWORK = (
    "g (float[b,4,64] x) => (float[b,3] y, float[b,6,64] h) "
    '{ c = Conv<pads = [15,15], dilations = [3]>(x, "stem.weight", "stem.bias") h = Relu(c) '
    "m = ReduceMean<axes = [2], keepdims = 0>(h) y = Gemm<transB = 1>(m, w) }"
)
WEIGHTS = {"stem.weight": (6, 4, 11), "w": (3, 6)}
HALF_EPSILON = 2.0**-11


@pytest.fixture
def network(onnx_model):
    return onnx_model(NETWORK, **WEIGHTS, **{"stem.bias": np.linspace(-1, 1, 6, dtype=np.float32)})


def run(model, feeds):
    return OnnxRuntime(ir.to_proto(model).SerializeToString(), threads=1).run(feeds)


def error(model, reference, feeds):
    got, expected = run(model, feeds), reference.run(feeds)
    return max(np.abs(got[name] - y).max() / np.abs(y).max() for name, y in expected.items())


@pytest.mark.parametrize("part", COMPILED_IN_FP16)
def test_every_part_agrees_to_a_few_roundings(network, fft, part):
    half = to_fp16(fft(network, expected=1), ["stem"], part)
    onnx.checker.check_model(ir.to_proto(half), full_check=True)
    reference = OnnxRuntime(network.SerializeToString(), threads=1)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4, 64)).astype("f4")}
    for model in (half, simulate_fp16(half)):
        assert [(v.name, v.dtype) for v in (*model.graph.inputs, *model.graph.outputs)] == [
            (name, ir.DataType.FLOAT) for name in ("x", "y", "h")
        ]
        # About ten roundings on the way, each of half an ulp at most, of values a few times the output.
        assert error(model, reference, feeds) < 20 * HALF_EPSILON
    assert error(half, reference, feeds) > HALF_EPSILON / 100  # something was rounded


@pytest.mark.parametrize("part", COMPILED_IN_FP16)
@pytest.mark.parametrize(
    ("lowering", "kind"),
    [
        (ToomCook((16,)), "MatMul"),
        (ToomCook((16,), product_form="grouped"), "Conv"),
        (ToomCook((16,), product_form="taps first"), "MatMul"),
        (CooleyTukey((24,), inner=2), "MatMul"),
        (CooleyTukey((24,), inner=3, product_form="taps first"), "MatMul"),
    ],
)
def test_other_tiled_convolutions_too(network, part, lowering, kind):
    compiled = lower(prepare(ir.from_proto(network)), {"stem": lowering})
    half = to_fp16(compiled, ["stem"], part)
    (product,) = [node for node in half.graph if node.name == "stem/product"]
    assert product.op_type == kind
    assert (product.outputs[0].dtype == ir.DataType.FLOAT16) == (part != "nothing")
    reference = OnnxRuntime(network.SerializeToString(), threads=1)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4, 64)).astype("f4")}
    assert HALF_EPSILON / 100 < error(simulate_fp16(half), reference, feeds) < 20 * HALF_EPSILON


def test_the_parts_are_nested(network, fft):
    compiled = fft(network, expected=1)

    def halves(part):
        graph = to_fp16(compiled, ["stem"], part).graph
        return {
            node.name
            for node in graph
            if node.op_type != "Cast" and any(v.dtype == ir.DataType.FLOAT16 for v in node.outputs)
        }

    everything, products, nothing = map(halves, COMPILED_IN_FP16)
    assert everything > products > nothing > set()
    assert {name.partition("_")[0] for name in products - nothing} == {"stem/product"}


def test_no_weight_is_kept_twice_and_casts_are_shared(network):
    half = to_fp16(prepare(ir.from_proto(network)), [], "nothing")
    kinds = {str(value.name): value.dtype for value in half.graph.initializers.values()}
    assert set(kinds.values()) == {ir.DataType.FLOAT16}
    casts = [node for node in half.graph if node.op_type == "Cast"]
    # One at the input, one per output; h is read in half by the mean.
    assert len(casts) == 3
    size = len(ir.to_proto(half).SerializeToString())
    assert size < len(network.SerializeToString())


def test_rounding_shows_what_onnx_runtime_hides(onnx_model):
    text = "g (float[b,4] x) => (float[b,4] y) { h = Mul(x, large) y = Mul(h, small) }"
    model = onnx_model(text, large=np.full(4, 3e4, "f4"), small=np.full(4, 1e-4, "f4"))
    half = to_fp16(prepare(ir.from_proto(model)), [], "nothing")
    x = {"x": np.full((1, 4), 10, np.float32)}
    assert np.isfinite(run(half, x)["y"]).all()
    assert np.isinf(run(simulate_fp16(half), x)["y"]).all()  # 300 000 is not a half


def test_a_model_that_overflows_in_half_is_not_written(tmp_path, onnx_model):
    text = (
        "g (float[b,2,16] x) => (float[b,2,16] y) { l = Mul(x, large) "
        'h = Conv<pads = [1,1]>(l, "c.weight") y = Mul(h, small) }'
    )
    weights = {"c.weight": (2, 2, 3), "large": np.full(1, 1e5, "f4"), "small": np.full(1, 1e-5, "f4")}
    onnx.save(onnx_model(text, **weights), tmp_path / "m.onnx")
    with pytest.raises(GateError, match=r"differs by inf.*fp16 does not hold this model") as caught:
        export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(precision="fp16", tune="estimate"))
    assert caught.value.exit_code == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]


def test_control_flow_is_refused(onnx_model):
    text = (
        "g (float[b,4] x, bool c) => (float[b,4] y) { y = If (c) "
        "<then_branch = t () => (float[b,4] a) { a = Relu(x) }, "
        "else_branch = e () => (float[b,4] a) { a = Neg(x) }> }"
    )
    with pytest.raises(InputError, match="fp16`: If has a subgraph"):
        to_fp16(ir.from_proto(onnx_model(text)), [], "nothing")


def test_operators_without_half_kernels_and_integers_stay(onnx_model):
    text = (
        "g (float[b,1,8] x) => (float[b,1,16] y, int64[b,1] i) { r = Relu(x) "
        'i = ArgMax<axis = 2, keepdims = 0>(r) y = Resize<mode = "nearest">(r, "", scales) }'
    )
    model = onnx_model(text, scales=np.array([1, 1, 2], "f4"))
    half = to_fp16(prepare(ir.from_proto(model)), [], "nothing")
    x = {"x": np.random.default_rng(0).standard_normal((2, 1, 8)).astype("f4")}
    reference = OnnxRuntime(model.SerializeToString()).run(x)
    assert np.array_equal(run(half, x)["i"], reference["i"])
    assert np.allclose(run(half, x)["y"], reference["y"], rtol=1e-3)
    assert half.graph.initializers["scales"].dtype == ir.DataType.FLOAT


@pytest.mark.parametrize("lowering", ["direct", "fft"])
def test_an_export_in_half_precision(tmp_path, network, lowering):
    onnx.save(network, tmp_path / "m.onnx")
    settings = ExportSettings(precision="fp16", lowering=lowering, tune="estimate")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", settings)
    parity = bundle.read_json("parity.json")
    assert (bundle.manifest.precision, parity["precision"], parity["tolerance"]) == ("fp16", "fp16", 5e-3)
    assert parity["compiled_in_fp16"] == (None if lowering == "direct" else "everything")
    assert {entry["inputs"] for entry in parity["outputs"]} == {
        f"random, batch {batch}{how}" for batch in (1, 3) for how in ("", ", every operator rounded")
    }
    assert all(0 < entry["max_relative_error"] < 5e-3 for entry in parity["outputs"])


@pytest.mark.parametrize("part", COMPILED_IN_FP16)
def test_taps_are_stored_in_half_and_transformed_in_single_precision(network, fft, part):
    half = to_fp16(fft(network, expected=1), ["stem"], part)
    taps = [value for name, value in half.graph.initializers.items() if name.startswith("stem/taps")]
    stored = {value.dtype for value in taps if "matrix" not in value.name and "shape" not in value.name}
    assert stored == {ir.DataType.FLOAT if part == "nothing" else ir.DataType.FLOAT16}
    products = [node for node in half.graph if node.op_type == "MatMul" and node.name.startswith("stem/taps")]
    assert len(products) == 3
    assert {node.inputs[0].dtype for node in products} == {ir.DataType.FLOAT}
