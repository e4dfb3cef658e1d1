"""Batch norms that are folded give the same numbers, and those that cannot be are left alone."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper

from dashdeploy.export.passes.fold_batch_norm import FoldBatchNorm
from dashdeploy.export.passes.sequence import prepare

TOLERANCE = 2e-6
"""Of the largest output: both orders of the same float32 operations, a few of which are rounded apart."""

NORM = {
    "s": np.linspace(0.5, 1.5, 6).astype("f4"),
    "o": np.linspace(-1, 1, 6).astype("f4"),
    "m": np.linspace(-0.3, 0.4, 6).astype("f4"),
    "v": np.linspace(0.2, 2, 6).astype("f4"),
}
FOLDED = {
    "with bias": (
        """g (float[b,4,40] x) => (float[b,6,40] y) { h = Conv<pads = [4,4]>(x, w, c)
        y = BatchNormalization(h, s, o, m, v) }""",
        {"w": (6, 4, 9), "c": (6,)},
    ),
    "without bias, another epsilon, in the middle": (
        """g (float[b,4,40] x) => (float[b,6,40] y) { h = Conv<pads = [4,4]>(x, w)
        n = BatchNormalization<epsilon = 0.1, momentum = 0.5>(h, s, o, m, v)  y = Relu(n) }""",
        {"w": (6, 4, 9)},
    ),
    "two dimensions, groups, strides": (
        """g (float[b,4,9,9] x) => (float[b,6,k,l] y) { h = Conv<strides = [2,1], group = 2>(x, w, c)
        y = BatchNormalization(h, s, o, m, v) }""",
        {"w": (6, 2, 3, 2), "c": (6,)},
    ),
    "weight in a Constant node": (
        """g (float[b,1,20] x) => (float[b,6,18] y) {
        w = Constant<value = float[6,1,3] {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18}>()
        h = Conv(x, w)  y = BatchNormalization(h, s, o, m, v) }""",
        {},
    ),
}


def operators(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("name", FOLDED)
def test_folding_changes_no_number(onnx_model, largest_error, name):
    text, initializers = FOLDED[name]
    model = onnx_model(text, **initializers, **NORM)
    prepared = prepare(ir.from_proto(model))
    assert "BatchNormalization" not in operators(prepared)
    assert not set(NORM) & set(prepared.graph.initializers)
    assert largest_error(model, prepared, batch=3) <= TOLERANCE


def test_two_layers_that_share_a_bias_and_statistics(onnx_model, largest_error):
    model = onnx_model(
        """g (float[b,6,40] x) => (float[b,6,40] y) {
        h = Conv<pads = [1,1]>(x, w, c)  n = BatchNormalization(h, s, o, m, v)
        i = Conv<pads = [1,1]>(n, u, c)  y = BatchNormalization(i, s, o, m, v) }""",
        w=(6, 6, 3),
        u=(6, 6, 3),
        c=(6,),
        **NORM,
    )
    prepared = prepare(ir.from_proto(model))
    assert operators(prepared) == ["Conv", "Conv"]
    assert largest_error(model, prepared, batch=2) <= TOLERANCE


def test_an_empty_name_is_no_bias(onnx_model, largest_error):
    text, initializers = FOLDED["with bias"]
    model = onnx_model(text, **initializers, **NORM)
    model.graph.node[0].input[2] = ""
    prepared = prepare(ir.from_proto(model))
    assert operators(prepared) == ["Conv"]
    assert largest_error(model, prepared) <= TOLERANCE


def test_names_are_new_and_the_layer_keeps_its_own(onnx_model, largest_error):
    model = onnx_model(
        """g (float[b,4,40] x) => (float[b,6,40] y) { h = Conv<pads = [4,4]>(x, w)
        "w.folded_bias" = BatchNormalization(h, s, o, m, v)  y = Relu("w.folded_bias") }""",
        w=(6, 4, 9),
        **NORM,
    )
    prepared = prepare(ir.from_proto(model))
    conv = prepared.graph[0]
    assert [value.name for value in conv.inputs] == ["x", "w", "w.folded_bias#1"]
    assert largest_error(model, prepared) <= TOLERANCE


HEAD = "g (float[b,4,40] x) => (float[b,6,40] y"
KEPT = {
    "output used twice": HEAD
    + ") { h = Conv<pads = [4,4]>(x, w) n = BatchNormalization(h, s, o, m, v) y = Add(h, n) }",
    "output of the graph": HEAD
    + ", float[b,6,40] h) { h = Conv<pads = [4,4]>(x, w) y = BatchNormalization(h, s, o, m, v) }",
    "training mode": HEAD
    + """, float[6] p, float[6] q) { h = Conv<pads = [4,4]>(x, w)
        y, p, q = BatchNormalization<training_mode = 1>(h, s, o, m, v) }""",
    "weight used twice": HEAD
    + """, float[6,4,9] z) { h = Conv<pads = [4,4]>(x, w)
        y = BatchNormalization(h, s, o, m, v) g = ReduceMax<keepdims = 0>(x) z = Mul(w, g) }""",
    "statistics that are not constant": HEAD
    + """) { h = Conv<pads = [4,4]>(x, w) g = ReduceMax<keepdims = 0>(x) t = Mul(s, g)
        y = BatchNormalization(h, t, o, m, v) }""",
    "not behind a convolution": HEAD
    + ") { h = Conv<pads = [4,4]>(x, w) r = Relu(h) y = BatchNormalization(r, s, o, m, v) }",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_folded_is_kept(onnx_model, largest_error, name):
    model = onnx_model(KEPT[name], w=(6, 4, 9), **NORM)
    prepared = prepare(ir.from_proto(model))
    assert operators(prepared).count("BatchNormalization") == 1
    assert largest_error(model, prepared, batch=3) <= TOLERANCE


def test_defaults_that_a_caller_may_replace_are_kept(onnx_model):
    model = onnx_model(
        """g (float[b,4,40] x, float[6] s) => (float[b,6,40] y) {
        h = Conv<pads = [4,4]>(x, w)  y = BatchNormalization(h, s, o, m, v) }""",
        w=(6, 4, 9),
        **NORM,
    )
    assert not FoldBatchNorm()(ir.from_proto(model)).modified


def test_training_mode_is_kept_whatever_its_outputs(onnx_model):
    """ONNX Runtime refuses this form, other engines compute the batch's own statistics."""
    text = (
        HEAD + ") { h = Conv<pads = [4,4]>(x, w) y = BatchNormalization<training_mode = 1>(h, s, o, m, v) }"
    )
    for trained, folded in ((text, False), (text.replace("= 1", "= 0"), True)):
        given = ir.from_proto(onnx_model(trained, w=(6, 4, 9), **NORM))
        assert FoldBatchNorm()(given).modified is folded


def test_half_precision_is_kept(onnx_model):
    """The folded weights would be rounded to eleven bits once more."""
    half = {name: array.astype("f2") for name, array in NORM.items()}
    text = FOLDED["with bias"][0].replace("float[", "float16[")
    model = onnx_model(text, w=np.ones((6, 4, 9), "f2"), c=np.ones(6, "f2"), **half)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert not FoldBatchNorm()(ir.from_proto(model)).modified


def test_double_precision_is_folded_in_double(onnx_model):
    double = {name: array.astype("f8") for name, array in NORM.items()}
    weight = np.random.default_rng(0).standard_normal((6, 4, 9))
    model = onnx_model(FOLDED["with bias"][0].replace("float[", "double["), w=weight, c=np.ones(6), **double)
    given = ir.from_proto(model)
    graph = given.graph
    assert FoldBatchNorm()(given).modified
    factor = double["s"] / np.sqrt(double["v"] + np.float64(np.float32(1e-5)))
    np.testing.assert_allclose(
        graph.initializers["w"].const_value.numpy(), weight * factor[:, None, None], rtol=1e-8
    )
    bias = graph[0].inputs[2].const_value.numpy()
    np.testing.assert_allclose(bias, factor * (1 - double["m"]) + double["o"], rtol=1e-8)
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == weight.tolist()
