"""Whole graphs with every convolution that allows it forced to FFT, against ONNX Runtime on the original."""

from itertools import pairwise

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.passes.sequence import lower, prepare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32: the transforms add about a decimal digit to a direct sum's rounding."""

RESIDUAL = """g (float[b,4,60] x) => (float[b,4,60] y) {
    h = Conv<pads = [4,4]>(x, w1, c1)  r = Relu(h)
    i = Conv<pads = [6,6], dilations = [3]>(r, w2, c2)  s = Add(i, x)  y = Relu(s) }"""
RESIDUAL_WEIGHTS = {"w1": (8, 4, 9), "c1": (8,), "w2": (4, 8, 5), "c2": (4,)}

INCEPTION = """g (float[b,4,50] x) => (float[b,9,50] y) {
    p = Conv<pads = [9,9]>(x, w1)  q = Conv<pads = [4,4]>(x, w2)  r = Conv(x, w3)
    y = Concat<axis = 1>(p, q, r) }"""
INCEPTION_WEIGHTS = {"w1": (3, 4, 19), "w2": (2, 4, 9), "w3": (4, 4, 1)}

OUTPUTS = """g (float[b,4,40] x) => (float[b,6,40] y, float[b,6,40] z, float[b,6,33] last) {
    y = Conv<pads = [4,4]>(x, w, c)  z = Sigmoid(y)  last = Conv(z, v) }"""

GRAPHS = {
    "residual": (RESIDUAL, RESIDUAL_WEIGHTS, 2),
    "parallel and concatenated": (INCEPTION, INCEPTION_WEIGHTS, 3),
    "outputs of the graph": (OUTPUTS, {"w": (6, 4, 9), "c": (6,), "v": (6, 6, 8)}, 2),
    "used twice": (
        "g (float[b,4,40] x) => (float[b,6,40] y) {h = Conv<pads = [4,4]>(x, w, c) t = Abs(h) y = Mul(h, t)}",
        {"w": (6, 4, 9), "c": (6,)},
        1,
    ),
    "groups": (
        "g (float[b,6,40] x) => (float[b,9,44] y) { y = Conv<pads = [6,6], group = 3>(x, w, c) }",
        {"w": (9, 2, 9), "c": (9,)},
        1,
    ),
    "groups without bias, two in a row": (
        """g (float[b,6,40] x) => (float[b,4,36] y) {
        h = Conv<pads = [6,2], group = 2, dilations = [2]>(x, w)  y = Conv<group = 4>(h, v) }""",
        {"w": (8, 3, 5), "v": (4, 2, 5)},
        2,
    ),
    "shared weights": (
        """g (float[b,4,40] x) => (float[b,4,40] y) {
        h = Conv<pads = [4,4]>(x, w, c)  y = Conv<pads = [8,8], dilations = [2]>(h, w, c) }""",
        {"w": (4, 4, 9), "c": (4,)},
        2,
    ),
    "several inputs": (
        """g (float[b,4,40] x, float[b,3,40] z) => (float[b,6,40] y) {
        h = Conv<pads = [4,4]>(x, w)  i = Conv<pads = [2,2]>(z, v)  y = Add(h, i) }""",
        {"w": (6, 4, 9), "v": (6, 3, 5)},
        2,
    ),
    "embedding": (
        """g (int64[b,40] x) => (float[b,6,40] y) {
        e = Gather(table, x)  t = Transpose<perm = [0,2,1]>(e)  y = Conv<pads = [4,4]>(t, w) }""",
        {"table": (10, 4), "w": (6, 4, 9)},
        1,
    ),
    "kernel longer than the input": (
        "g (float[b,4,5] x) => (float[b,6,5] y) { y = Conv<pads = [4,4]>(x, w) }",
        {"w": (6, 4, 9)},
        1,
    ),
    "seen from a branch": (
        """g (float[b,4,40] x) => (float[b,4,40] y) {
        h = Conv<pads = [4,4]>(x, w)  m = ReduceMax<keepdims = 0>(x)  k = Greater(m, m)
        y = If(k)<
            then_branch = t () => (float[b,4,40] a) { a = Conv<pads = [4,4]>(h, v) },
            else_branch = e () => (float[b,4,40] d) { d = Relu(h) }> }""",
        {"w": (4, 4, 9), "v": (4, 4, 9)},
        2,
    ),
    "one and two dimensions": (
        """g (float[b,4,8,8] x) => (float[b,6,56] y) {
        h = Conv<pads = [1,2,1,0]>(x, v)  s = Constant<value_ints = [0,4,64]>()  r = Reshape(h, s)
        y = Conv(r, w) }""",
        {"v": (4, 4, 3, 3), "w": (6, 4, 9)},
        2,
    ),
    "three dimensions stay": (
        """g (float[b,4,4,4,4] x) => (float[b,6,56] y) {
        h = Conv<pads = [1,1,1,1,1,1]>(x, v)  s = Constant<value_ints = [0,4,64]>()  r = Reshape(h, s)
        y = Conv(r, w) }""",
        {"v": (4, 4, 3, 3, 3), "w": (6, 4, 9)},
        1,
    ),
    "names taken": (
        """g (float[b,6,40] x) => (float[b,6,40] y) {
        "w/to_rows" = Relu(x)  "w'/bias" = Conv<pads = [4,4]>("w/to_rows", w, c)
        y = Add("w'/bias", "w/to_rows") }""",
        {"w": (6, 6, 9), "c": (6,)},
        1,
    ),
}


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_equal_the_originals(onnx_model, fft, largest_error, name, batch):
    text, initializers, expected = GRAPHS[name]
    model = onnx_model(text, **initializers)
    assert largest_error(model, fft(model, expected=expected), batch) <= TOLERANCE


@pytest.mark.parametrize("opset", range(13, 27))
def test_every_opset(onnx_model, fft, largest_error, opset):
    model = onnx_model(RESIDUAL, opset=opset, ir_version=10, **RESIDUAL_WEIGHTS)
    assert largest_error(model, fft(model, expected=2), batch=2) <= TOLERANCE


def test_fixed_batch(onnx_model, fft, largest_error):
    model = onnx_model(RESIDUAL.replace("[b,", "[4,"), **RESIDUAL_WEIGHTS)
    assert largest_error(model, fft(model, expected=2)) <= TOLERANCE


def test_only_forced_layers_lose_their_convolution(onnx_model, fft):
    compiled = fft(onnx_model(INCEPTION, **INCEPTION_WEIGHTS), expected=3)
    operators = [node.op_type for node in compiled.graph]
    assert "Conv" not in operators
    assert operators.count("Concat") >= 1
    assert not set(INCEPTION_WEIGHTS) & set(compiled.graph.initializers)  # nothing dead is shipped
    prepared = prepare(ir.from_proto(onnx_model(INCEPTION, **INCEPTION_WEIGHTS)))
    untouched = lower(prepared, {})
    assert [node.op_type for node in untouched.graph] == ["Conv", "Conv", "Conv", "Concat"]


def test_source_is_not_changed(onnx_model):
    model = onnx_model(RESIDUAL, **RESIDUAL_WEIGHTS)
    source = ir.from_proto(model)
    prepared = prepare(source)
    assert ir.to_proto(source) == ir.to_proto(ir.from_proto(model))
    before = ir.to_proto(prepared).SerializeToString(deterministic=True)
    compiled = lower(prepared, {"w1": Direct(), "w2": Direct()})
    assert ir.to_proto(prepared).SerializeToString(deterministic=True) == before
    assert ir.to_proto(compiled).SerializeToString(deterministic=True) != before


def test_shapes_stay_known_behind_a_lowered_layer(onnx_model, fft):
    compiled = fft(onnx_model(RESIDUAL, **RESIDUAL_WEIGHTS), expected=2)
    (relu, *_) = [node for node in compiled.graph if node.op_type == "Relu"]
    length, _, channels = relu.inputs[0].shape  # in rows, between two lowered layers
    assert [length, channels] == [60, 8]
    assert relu.inputs[0].dtype == ir.DataType.FLOAT


@st.composite
def chains(draw):
    """Two convolutions of random shape with a residual sum where the shapes allow it."""
    channels = [draw(st.sampled_from([1, 2, 4, 6])) for _ in range(3)]
    length, layers = draw(st.integers(20, 90)), []
    for cin, cout in pairwise(channels):
        groups = 2 if cin % 2 == cout % 2 == 0 and draw(st.booleans()) else 1
        taps, dilation = draw(st.integers(1, 9)), draw(st.integers(1, 7))
        field = dilation * (taps - 1)
        before = draw(st.integers(0, field))
        pads = (before, field - before) if draw(st.booleans()) else (field, draw(st.integers(0, 3)))
        layers.append((cin, cout, groups, taps, dilation, pads, draw(st.booleans())))
    return length, layers


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chains(), st.integers(1, 4))
def test_any_chain(onnx_model, fft, largest_error, chain, batch):
    length, layers = chain
    nodes, initializers, value = [], {}, "x"
    for i, (cin, cout, groups, taps, dilation, pads, bias) in enumerate(layers):
        initializers[f"w{i}"] = (cout, cin // groups, taps)
        inputs = [value, f"w{i}"]
        if bias:
            initializers[f"c{i}"] = (cout,)
            inputs.append(f"c{i}")
        attributes = f"pads = {list(pads)}, dilations = [{dilation}], group = {groups}"
        nodes.append(f"h{i} = Conv<{attributes}>({', '.join(inputs)})  r{i} = Elu(h{i})")
        value = f"r{i}"
    cin, cout = layers[0][0], layers[-1][1]
    text = f"g (float[b,{cin},{length}] x) => (float[b,{cout},m] y) {{ {' '.join(nodes)} y = Neg({value}) }}"
    model = onnx_model(text, **initializers)
    assert largest_error(model, fft(model, expected=2), batch) <= TOLERANCE


def test_equal_constants_of_layers_are_stored_once(onnx_model):
    text = """g (float[b,8,200] x) => (float[b,8,200] y) {
        h = Conv<pads = [7,7]>(x, "a.weight") y = Conv<pads = [7,7]>(h, "b.weight") }"""
    prepared = prepare(ir.from_proto(onnx_model(text, **{"a.weight": (8, 8, 15), "b.weight": (8, 8, 15)})))
    both = lower(prepared, {"a": FFT((40,)), "b": FFT((40,))})
    names = set(both.graph.initializers)
    assert {"a/taps", "b/taps"} <= names
    assert "a/analysis_0.matrix" in names
    assert not any(name.endswith((".matrix", ".rows", ".shape")) for name in names if name.startswith("b/"))
    x = {"x": np.random.default_rng(0).standard_normal((2, 8, 200)).astype("f4")}
    got, expected = (
        OnnxRuntime(ir.to_proto(model).SerializeToString()).run(x)["y"] for model in (both, prepared)
    )
    assert np.abs(got - expected).max() < 5e-6 * np.abs(expected).max()


def test_nothing_is_left_of_a_layer_whose_names_were_taken(onnx_model, fft, largest_error):
    """The layer is written again under other names, between two lowered layers whose transposes go."""
    text = """g (float[b,4,40] x) => (float[b,6,40] y) {
        h = Conv<pads = [4,4]>(x, w)  r = Relu(h)  y = Conv<pads = [4,4]>(r, v) }"""
    model = onnx_model(text, w=(6, 4, 9), v=(6, 6, 9))
    relu, last = model.graph.node[1], model.graph.node[2]
    relu.output[0] = last.input[0] = "v/to_rows"
    compiled = fft(model, expected=2)
    read = {id(value) for node in compiled.graph for value in node.inputs}
    read |= {id(value) for value in compiled.graph.outputs}
    assert all(id(value) in read for node in compiled.graph for value in node.outputs)
    assert sum(node.op_type == "Transpose" for node in compiled.graph) == 2
    assert largest_error(model, compiled) <= TOLERANCE
