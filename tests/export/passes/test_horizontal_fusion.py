"""Convolutions fused into one layer compute what they computed apart."""

import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.passes.sequence import lower, prepare
from dashdeploy.export.planning.fusion_groups import fusion_groups

TOLERANCE = 5e-6
"""Of the largest output, in float32; see tests/export/lowerings."""

INCEPTION = """g (float[b,4,60] x) => (float[b,18,60] y) {
    p = Conv<pads = [19,19]>(x, w1)  q = Conv<pads = [9,9]>(x, w2, c2)  r = Conv<pads = [4,4]>(x, w3)
    s = Relu(x)  y = Concat<axis = 1>(p, q, r, s) }"""
INCEPTION_WEIGHTS = {"w1": (6, 4, 39), "w2": (5, 4, 19), "c2": (5,), "w3": (3, 4, 9)}


def groups_of(model):
    return fusion_groups(find_convolutions(prepare(ir.from_proto(model))))


def fused(model):
    """The model with every group fused and lowered to FFT."""
    prepared = prepare(ir.from_proto(model))
    groups = fusion_groups(find_convolutions(prepared))
    lowerings = {group.name: FFT.variants(group.spec)[0] for group in groups}
    return lower(prepared, lowerings, set(lowerings))


@pytest.mark.parametrize("batch", [1, 3])
def test_an_inception_block_becomes_one_layer(onnx_model, largest_error, batch):
    model = onnx_model(INCEPTION, **INCEPTION_WEIGHTS)
    (group,) = groups_of(model)
    assert group.name == "w1+w2+w3"
    assert (group.spec.out_channels, group.spec.kernel, group.spec.pads_begin) == (14, (39,), (19,))
    assert group.spec.bias
    compiled = fused(model)
    assert largest_error(model, compiled, batch) <= TOLERANCE
    kinds = [node.op_type for node in compiled.graph]
    assert "Conv" not in kinds
    assert "Split" not in kinds  # the concatenation takes the one output
    assert [len(node.inputs) for node in compiled.graph if node.op_type == "Concat"][-1] == 2


def test_outputs_with_other_readers_are_split(onnx_model, largest_error):
    model = onnx_model(
        """g (float[b,4,40] x) => (float[b,6,40] p, float[b,6,40] z) {
        p = Conv<pads = [3,3]>(x, w1)  q = Conv<pads = [1,1]>(x, w2)  z = Add(p, q) }""",
        w1=(6, 4, 7),
        w2=(6, 4, 3),
    )
    compiled = fused(model)
    assert [node.op_type for node in compiled.graph].count("Split") == 1
    assert [output.name for output in compiled.graph.outputs] == ["p", "z"]
    assert largest_error(model, compiled, 2) <= TOLERANCE


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_parallel_convolutions_agree(onnx_model, largest_error, data):
    """Different lengths and offsets of one dilation and stride, as many outputs, whatever reads them."""
    d, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 2))
    texts, weights = [], {}
    for index in range(data.draw(st.integers(2, 3))):
        k = data.draw(st.integers(2, 6))
        before = d * data.draw(st.integers(0, k - 1))
        pads = f"{before},{d * (k - 1) - before}"
        texts.append(
            f"y{index} = Conv<pads = [{pads}], dilations = [{d}], strides = [{stride}]>(x, w{index})"
        )
        weights[f"w{index}"] = (2 + index, 3, k)
    names = ", ".join(f"y{index}" for index in range(len(texts)))
    model = onnx_model(
        f"g (float[b,3,40] x) => (float[b,m,n] y) {{ {'  '.join(texts)}  y = Concat<axis = 1>({names}) }}",
        **weights,
    )
    assert len(groups_of(model)) == 1
    assert largest_error(model, fused(model), 2) <= TOLERANCE


@pytest.mark.parametrize(
    "other",
    [
        "q = Conv<pads = [2,2], dilations = [2]>(x, w2)",  # another dilation
        "r = Relu(x)  q = Conv<pads = [1,1]>(r, w2)",  # another tensor
        "q = Conv<pads = [0,0]>(x, w2)",  # another output length
    ],
)
def test_what_does_not_fit_is_left_apart(onnx_model, other):
    model = onnx_model(
        f"g (float[b,4,40] x) => (float[b,6,40] p, float[b,6,m] q) {{ p = Conv<pads = [3,3]>(x, w1)  {other} }}",
        w1=(6, 4, 7),
        w2=(6, 4, 3),
    )
    assert groups_of(model) == []
