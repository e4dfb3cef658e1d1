"""Reading the convolutions of a graph: what they are, what they are called, why they cannot be read."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import with_input_shapes
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32; see tests/export/lowerings."""


def read(model, input_shapes=None):
    return find_convolutions(prepare(with_input_shapes(ir.from_proto(model), input_shapes or {})))


def test_reads_every_property(onnx_model):
    model = onnx_model(
        """g (float[b,4,50] x) => (float[b,6,m] y) {
        y = Conv<kernel_shape=[5], pads=[3,1], strides=[2], dilations=[3], group=2>(x, w, c) }""",
        w=(6, 2, 5),
        c=(6,),
    )
    (found,) = read(model)
    assert found.obstacle is None
    assert found.spec.model_dump() == {
        "in_channels": 4,
        "out_channels": 6,
        "groups": 2,
        "spatial": (50,),
        "kernel": (5,),
        "strides": (2,),
        "dilations": (3,),
        "pads_begin": (3,),
        "pads_end": (1,),
        "bias": True,
        "dtype": "float32",
        "batch": 1,
    }
    assert found.spec.out_spatial == (21,)
    np.testing.assert_array_equal(
        found.weight, np.frombuffer(model.graph.initializer[0].raw_data, "f4").reshape(6, 2, 5)
    )
    np.testing.assert_array_equal(found.bias, np.frombuffer(model.graph.initializer[1].raw_data, "f4"))


def test_defaults_of_the_operator(onnx_model):
    model = onnx_model("g (float[b,4,9,8] x) => (float[b,6,7,7] y) { y = Conv(x, w) }", w=(6, 4, 3, 2))
    (found,) = read(model)
    assert found.bias is None
    assert found.spec.bias is False
    assert (found.spec.strides, found.spec.dilations, found.spec.groups) == ((1, 1), (1, 1), 1)
    assert (found.spec.pads_begin, found.spec.pads_end) == ((0, 0), (0, 0))
    assert found.spec.out_spatial == (7, 7)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(16, 60), taps=st.integers(1, 12))
def test_auto_pad_is_what_onnx_runtime_computes(onnx_model, fft, largest_error, mode, length, taps):
    model = onnx_model(
        f'g (float[b,3,{length}] x) => (float[b,5,m] y) {{ y = Conv<auto_pad = "{mode}">(x, w, c) }}',
        w=(5, 3, taps),
        c=(5,),
    )
    assert largest_error(model, fft(model, expected=1), batch=2) <= TOLERANCE


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(8, 40), taps=st.integers(1, 8), stride=st.integers(1, 9))
def test_auto_pad_with_strides_is_what_onnx_runtime_computes(onnx_model, mode, length, taps, stride):
    """The pads that were read, written out, give the same numbers."""
    template = "g (float[1,2,{}] x) => (float[1,2,m] y) {{ y = Conv<{}, strides = [{}]>(x, w) }}"
    automatic = onnx_model(template.format(length, f'auto_pad = "{mode}"', stride), w=(2, 2, taps))
    (found,) = read(automatic)
    if mode != "VALID" and (-(-length // stride) - 1) * stride + taps < length:
        assert "engines disagree" in found.obstacle
        return
    pads = [*found.spec.pads_begin, *found.spec.pads_end]
    explicit = onnx_model(template.format(length, f"pads = {pads}", stride), w=(2, 2, taps))
    x = {"x": np.random.default_rng(0).standard_normal((1, 2, length)).astype("f4")}
    y = [OnnxRuntime(model.SerializeToString(), threads=1).run(x)["y"] for model in (automatic, explicit)]
    assert y[0].shape[2:] == found.spec.out_spatial
    np.testing.assert_allclose(y[0], y[1], rtol=0, atol=1e-6)


def test_names_come_from_weights_and_are_unique(onnx_model):
    model = onnx_model(
        """g (float[b,4,20] x) => (float[b,4,20] y) {
        h = Conv<pads = [1,1]>(x, "stem.weight")
        i = Conv<pads = [1,1]>(h, "stem.weight")
        j = Conv<pads = [2,2], dilations = [2]>(i, "stem.weight")
        k = Conv<pads = [1,1]>(j, w)
        y = Conv<pads = [1,1]>(k, "stem#1.weight") }""",
        **{"stem.weight": (4, 4, 3), "w": (4, 4, 3), "stem#1.weight": (4, 4, 3)},
    )
    assert [found.name for found in read(model)] == ["stem", "stem#1", "stem#2", "w", "stem#1#1"]


def test_a_weight_in_a_constant_node(onnx_model):
    model = onnx_model(
        """g (float[b,1,10] x) => (float[b,1,10] y) {
        w = Constant<value = float[1,1,3] {1, 2, 3}>()
        c = Constant<value = float[1] {4}>()
        y = Conv<pads = [1,1]>(x, w, c) }"""
    )
    (found,) = read(model)
    assert found.obstacle is None
    assert found.weight.tolist() == [[[1, 2, 3]]]
    assert found.bias.tolist() == [4]


PLAIN = "g (float[b,4,20] x) => (float[b,6,m] y) { y = Conv(x, w, c) }"


@pytest.mark.parametrize(
    ("text", "initializers", "obstacle"),
    [
        (PLAIN.replace("x)", "x, float[6,4,3] w)", 1), {"c": (6,)}, "the weight is not a constant"),
        # A caller may replace the default of an input.
        (
            PLAIN.replace("x)", "x, float[6,4,3] w)", 1),
            {"w": (6, 4, 3), "c": (6,)},
            "the weight is not a const",
        ),
        (PLAIN.replace("x)", "x, float[6] c)", 1), {"w": (6, 4, 3)}, "the bias is not a constant"),
        (
            PLAIN.replace("{ y", "{ g = ReduceMax<keepdims = 0>(x) w = Mul(v, g) y"),
            {"v": (6, 4, 3), "c": (6,)},
            "the weight is not a constant",
        ),
        (PLAIN.replace("20", "n"), {"w": (6, 4, 3), "c": (6,)}, "`input_shapes=NAME=1,C,N`"),
        (PLAIN, {"w": np.full((6, 4, 3), np.nan, "f4"), "c": (6,)}, "infinities or not-a-numbers"),
        (PLAIN, {"w": np.full((6, 4, 3), np.inf, "f4"), "c": (6,)}, "infinities or not-a-numbers"),
        (PLAIN.replace("20", "0"), {"w": (6, 4, 3), "c": (6,)}, "the length 0"),
        (PLAIN.replace("6,m", "0,m").replace(", c", ""), {"w": np.zeros((0, 4, 3), "f4")}, "the length 0"),
    ],
)
def test_obstacles_are_named(onnx_model, text, initializers, obstacle):
    (found,) = read(onnx_model(text, **initializers))
    assert found.spec is None
    assert obstacle in found.obstacle


def test_a_dynamic_length_is_mended_by_an_input_shape(onnx_model):
    model = onnx_model(
        """g (float[b,4,n] x) => (float[b,4,n] y) <float[b,4,n] h> {
        h = Conv<pads = [1,1]>(x, w) r = Relu(h) y = Conv<pads = [1,1]>(r, v) }""",
        w=(4, 4, 3),
        v=(4, 4, 3),
    )
    assert all("dynamic" in found.obstacle for found in read(model))
    assert [found.spec.spatial for found in read(model, {"x": (1, 4, 77)})] == [(77,), (77,)]


def test_convolutions_elsewhere_are_not_ours(onnx_model):
    model = onnx_model(
        """g (float[b,4,20] x, bool k) => (float[b,4,20] y) {
        h = com.microsoft.FusedConv<pads = [1,1], activation = "Relu">(x, w)
        i = ConvTranspose<pads = [1,1]>(h, w)
        y = If(k)<
            then_branch = t () => (float[b,4,20] a) { a = Conv<pads = [1,1]>(i, w) },
            else_branch = e () => (float[b,4,20] d) { d = Relu(i) }> }""",
        domains=', "com.microsoft" : 1',
        w=(4, 4, 3),
    )
    (inner,) = read(model)  # the one in the body, whose shape is not known behind operators of another domain
    assert inner.spec is None
    assert "shape is not known" in str(inner.obstacle)


def test_convolutions_in_bodies_are_read_and_those_of_functions_are_inlined():
    def conv(x, y):
        return onnx.helper.make_node("Conv", [x, "w"], [y], pads=[4, 4])

    def info(name, *shape):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape or None)

    bodies = {
        branch: onnx.helper.make_graph([conv("x", branch)], branch, [], [info(branch)])
        for branch in ("then_branch", "else_branch")
    }
    function = onnx.helper.make_function(
        "mine",
        "Block",
        ["a", "w"],
        ["o"],
        [onnx.helper.make_node("Conv", ["a", "w"], ["o"], pads=[4, 4])],
        [onnx.helper.make_opsetid("", 17)],
    )
    nodes = [
        onnx.helper.make_node("If", ["c"], ["z"], **bodies),
        onnx.helper.make_node("Block", ["x", "w"], ["v"], domain="mine"),
        onnx.helper.make_node("Add", ["z", "v"], ["y"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [info("x", "b", 4, 60), onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])],
        [info("y", "b", 4, 60)],
        [onnx.numpy_helper.from_array(np.ones((4, 4, 9), np.float32), "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("mine", 1)]
    model = onnx.helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)
    found = find_convolutions(prepare(ir.from_proto(model)))
    assert [convolution.name for convolution in found] == ["w", "w#1", "w#2"]
    assert all(convolution.spec is not None and convolution.spec.spatial == (60,) for convolution in found)
