"""Every pass has one shape: it says whether it changed the model, and why a pattern stayed."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes import PreconditionError
from onnx_ir.passes.common import ShapeInferencePass

from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.passes.fold_batch_norm import FoldBatchNorm
from dashdeploy.export.passes.fold_pads import FoldPads
from dashdeploy.export.passes.horizontal_fusion import HorizontalFusion
from dashdeploy.export.passes.layout_assignment import AssignLayout
from dashdeploy.export.passes.lower_convolutions import LowerConvolutions
from dashdeploy.export.passes.precision.convert_to_fp16 import ConvertToFp16
from dashdeploy.export.passes.precision.quantize import Quantize
from dashdeploy.export.passes.precision.simulate_fp16 import SimulateFp16
from dashdeploy.export.passes.sequence import lower, prepare, simulate_fp16, to_fp16
from dashdeploy.export.passes.sink_batch_norm_through_concat import SinkBatchNormThroughConcat

NORM = {"s": np.full(6, 2, "f4"), "o": np.ones(6, "f4"), "m": np.zeros(6, "f4"), "v": np.ones(6, "f4")}
PADS = {"p": np.array([0, 0, 4, 0, 0, 4])}
HEAD = "g (float[b,4,40] x) => (float[b,6,n] y) {"
SAME = "Conv<pads = [4,4]>"

CASES = {
    "pad of ones": (
        FoldPads(),
        HEAD + "z = Pad(x, p, c)  y = Conv(z, w) }",
        {"w": (6, 4, 9), "c": np.ones((), "f4"), **PADS},
        ("conv", "the Pad before it adds something else than zeros"),
    ),
    "norm of a pool": (
        FoldBatchNorm(),
        HEAD + f"h = {SAME}(x, w)  q = Relu(h)  y = BatchNormalization(q, s, o, m, v) }}",
        {"w": (6, 4, 9), **NORM},
        ("norm", "no convolution stands before it"),
    ),
    "norm of what is read twice": (
        FoldBatchNorm(),
        HEAD + f"h = {SAME}(x, w)  n = BatchNormalization(h, s, o, m, v)  y = Add(n, h) }}",
        {"w": (6, 4, 9), **NORM},
        ("norm", "something else reads the convolution's output"),
    ),
    "norm of a pooled branch": (
        SinkBatchNormThroughConcat(),
        HEAD + f"h = {SAME}(x, w)  r = Relu(x)  c = Concat<axis = 1>(h, r)"
        "  y = BatchNormalization(c, s, o, m, v) }",
        {"w": (2, 4, 9), **NORM},
        ("norm", "a branch of the Concat does not end in a convolution"),
    ),
    "layer that is not there": (
        LowerConvolutions({"elsewhere": Direct()}),
        HEAD + f"y = {SAME}(x, w) }}",
        {"w": (6, 4, 9)},
        ("elsewhere", "no convolution has this name"),
    ),
    "group that is not there": (
        HorizontalFusion({"w+u"}),
        HEAD + f"h = {SAME}(x, w)  r = Relu(h)  y = {SAME}(r, u) }}",
        {"w": (6, 4, 9), "u": (6, 6, 9)},
        ("w+u", "no convolutions of these names read the same tensor and fit into one"),
    ),
    "nothing in half": (SimulateFp16(), HEAD + f"y = {SAME}(x, w) }}", {"w": (6, 4, 9)}, None),
    "no rows": (AssignLayout(), HEAD + f"h = {SAME}(x, w)  y = Relu(h) }}", {"w": (6, 4, 9)}, None),
}


def named(model):
    """The model with a name for every node, by its operator."""
    names = {"Conv": "conv", "BatchNormalization": "norm"}
    for node in model.graph:
        node.name = names.get(node.op_type, node.op_type)
    return model


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_match_is_unchanged_and_has_its_reason(onnx_model, name):
    a_pass, text, weights, expected = CASES[name]
    model = named(ir.from_proto(onnx_model(text, opset=18, **weights)))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    result = a_pass(model)
    assert not result.modified
    assert result.model is model
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    found = [(each.name, each.reason) for each in a_pass.unmatched]
    assert found == ([] if expected is None else [expected])


def test_what_matches_is_modified(onnx_model):
    text = HEAD + "z = Pad(x, p)  h = Conv(z, w)  y = BatchNormalization(h, s, o, m, v) }"
    model = ir.from_proto(onnx_model(text, opset=18, w=(6, 4, 9), **PADS, **NORM))
    for a_pass in (FoldPads(), FoldBatchNorm(), LowerConvolutions({"w": FFT((16,))})):
        assert a_pass(model).modified
        assert a_pass.unmatched == []
        assert not a_pass(model).modified  # it finds nothing of the kind any more


def test_a_layer_that_stays_channels_first_says_why(onnx_model):
    text = HEAD + f"h = {SAME}(x, w)  q = Softmax<axis = 1>(h)  y = {SAME}(q, u) }}"
    prepared = prepare(ir.from_proto(onnx_model(text, opset=18, w=(6, 4, 9), u=(6, 6, 9))))
    layout = AssignLayout()
    LowerConvolutions({"w": FFT((16,)), "u": FFT((16,))})(prepared)
    layout(prepared)
    assert [each.reason for each in layout.unmatched] == ["Softmax does not work by element"]


def test_the_nodes_that_stay_in_float32_are_named(onnx_model):
    text = HEAD + f"h = {SAME}(x, w)  i = Cast<to = 1>(h)  y = {SAME}(i, u) }}"
    prepared = prepare(named(ir.from_proto(onnx_model(text, opset=18, w=(6, 4, 9), u=(6, 6, 9)))))
    compiled = lower(prepared, {"u": FFT((16,))})
    ShapeInferencePass(strict_mode=False)(compiled)
    conversion = ConvertToFp16(["u"], "nothing")
    assert conversion(compiled).modified
    reasons = {each.name: each.reason for each in conversion.unmatched}
    assert reasons["Cast"] == "engines have no Cast in half precision"
    assert reasons["u/to_rows"] == "of its compiled layer, nothing is in half precision"
    assert "conv" not in reasons
    half = to_fp16(lower(prepared, {}), [], "nothing")
    assert SimulateFp16()(half).modified
    assert {value.dtype for value in simulate_fp16(half).graph.initializers.values()} == {ir.DataType.FLOAT}


def test_control_flow_is_no_graph_for_half_precision(onnx_model):
    text = (
        "g (float[b,4] x, bool c) => (float[b,4] y) { y = If (c) "
        "<then_branch = t () => (float[b,4] a) { a = Relu(x) }, "
        "else_branch = e () => (float[b,4] a) { a = Neg(x) }> }"
    )
    with pytest.raises(PreconditionError, match="If has a subgraph"):
        ConvertToFp16([], "nothing")(ir.from_proto(onnx_model(text)))


def test_compiled_layers_are_not_quantized(onnx_model):
    text = HEAD + f"h = {SAME}(x, w)  y = {SAME}(h, u) }}"
    prepared = prepare(ir.from_proto(onnx_model(text, w=(6, 4, 9), u=(6, 6, 9))))
    compiled = lower(prepared, {"u": FFT((16,))})
    samples = {"x": np.random.default_rng(0).standard_normal((4, 4, 40)).astype("f4")}
    quantize = Quantize(["u"], samples)
    result = quantize(compiled)
    assert result.modified and result.model is not compiled
    assert {each.reason for each in quantize.unmatched} == {"compiled layers stay in float32"}
    assert all(each.name.startswith("u/") for each in quantize.unmatched)
