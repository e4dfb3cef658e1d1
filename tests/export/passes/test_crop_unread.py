"""What nobody reads is not computed, and what is read is the same."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.passes.crop_unread import CropUnread
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

CHANNELS = 3


def model_of(nodes, length, constants, outputs=("y",)):
    graph = make_graph(
        nodes,
        "g",
        [make_tensor_value_info("x", TensorProto.FLOAT, ["b", CHANNELS, length])],
        [make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


def multiply_adds(model):
    return sum(each.spec.multiply_adds for each in find_convolutions(model) if each.spec)


def outputs_of(model, length):
    feeds = {"x": np.random.default_rng(0).standard_normal((2, CHANNELS, length), "f4")}
    return OnnxRuntime(ir.to_proto(model).SerializeToString()).run(feeds)


def prepared_and_plain(proto, monkeypatch):
    cropped = prepare(ir.from_proto(proto))
    monkeypatch.setattr(CropUnread, "rewrite", lambda *_: False)
    return cropped, prepare(ir.from_proto(proto))


def weight(kernel, seed=0):
    return np.random.default_rng(seed).standard_normal((CHANNELS, CHANNELS, kernel), "f4") / kernel


def head(kind, source="h"):
    """Operators that read positions 40 to 49 of 100, or the last one."""
    if kind == "slice":
        return [make_node("Slice", [source, "from", "to", "along"], ["y"])]
    if kind == "last":
        return [make_node("Gather", [source, "minus_one"], ["y"], axis=2)]
    turned = [make_node("Transpose", [source], ["turned"], perm=[0, 2, 1])]
    return [*turned, make_node("Gather", ["turned", "minus_one"], ["y"], axis=1)]


HEADS = {"from": [40], "to": [50], "along": [2], "minus_one": -1}


@pytest.mark.parametrize("kind", ["slice", "last", "turned"])
def test_a_residual_network_computes_the_field_of_what_is_read(kind, monkeypatch):
    nodes = [
        make_node("Conv", ["x", "w0"], ["a"], pads=[4, 4], name="first"),
        make_node("Relu", ["a"], ["r"]),
        make_node("Conv", ["r", "w1"], ["b"], pads=[8, 8], dilations=[2], name="second"),
        make_node("Add", ["a", "b"], ["h"]),
        *head(kind),
    ]
    constants = {"w0": weight(9), "w1": weight(9, 1), **{k: np.array(v) for k, v in HEADS.items()}}
    cropped, plain = prepared_and_plain(model_of(nodes, 100, constants), monkeypatch)
    specs = {each.node.name: each.spec for each in find_convolutions(cropped)}
    if kind == "slice":
        assert specs["second"].out_spatial == (10,)
        assert specs["first"].out_spatial == (26,)
        assert specs["first"].pads == (0, 0)
    else:
        assert specs["second"].out_spatial == (1,)
        assert specs["first"].out_spatial == (9,)  # the other taps lie in the padding
        assert specs["second"].pads == (0, 8)
    expected, got = outputs_of(plain, 100)["y"], outputs_of(cropped, 100)["y"]
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-6 * np.abs(expected).max()


def test_what_somebody_else_reads_is_computed(monkeypatch):
    nodes = [make_node("Conv", ["x", "w0"], ["h"], pads=[4, 4]), *head("slice")]
    constants = {"w0": weight(9), **{k: np.array(v) for k, v in HEADS.items()}}
    cropped, plain = prepared_and_plain(model_of(nodes, 100, constants, outputs=("y", "h")), monkeypatch)
    assert multiply_adds(cropped) == multiply_adds(plain)


@st.composite
def networks(draw):
    """A chain of convolutions, residual sums and element-wise operators, of which positions are selected."""
    length = draw(st.integers(20, 60))
    nodes, constants, size, value = [], {}, length, "x"
    for step in range(draw(st.integers(1, 4))):
        kernel, dilation, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        reach = dilation * (kernel - 1)
        same = draw(st.booleans())
        pads = [reach // 2, reach - reach // 2] if same else [draw(st.integers(0, 6)) for _ in range(2)]
        stride = 1 if same else stride
        out = (size + sum(pads) - reach - 1) // stride + 1
        if out < 8:
            break
        constants[f"w{step}"] = weight(kernel, step)
        conv = make_node(
            "Conv", [value, f"w{step}"], [f"c{step}"], pads=pads, dilations=[dilation], strides=[stride]
        )
        nodes.append(conv)
        following = f"c{step}"
        if out == size and draw(st.booleans()):
            nodes.append(make_node("Add", [following, value], [f"a{step}"]))
            following = f"a{step}"
        if draw(st.booleans()):
            nodes.append(make_node("Sigmoid", [following], [f"s{step}"]))
            following = f"s{step}"
        if out > 12 and draw(st.booleans()):  # a causal network cuts the end off
            less = draw(st.integers(1, 4))
            bounds = {f"b{step}": 0, f"e{step}": out - less, f"d{step}": 2}
            constants |= {name: np.array([number]) for name, number in bounds.items()}
            nodes.append(make_node("Slice", [following, *bounds], [f"t{step}"]))
            following, out = f"t{step}", out - less
        value, size = following, out
    first = draw(st.integers(0, size - 1))
    constants |= {"from": np.array([first]), "to": np.array([draw(st.integers(first + 1, size))])}
    constants |= {"along": np.array([2]), "minus_one": np.array(draw(st.integers(-size, size - 1)))}
    if value == "x":
        nodes.append(make_node("Relu", ["x"], ["only"]))
        value = "only"
    nodes += head(draw(st.sampled_from(["slice", "last", "turned"])), value)
    return model_of(nodes, length, constants), length


@given(networks())
@settings(max_examples=60, deadline=None)
def test_any_network_gives_the_same(network):
    proto, length = network
    cropped = prepare(ir.from_proto(proto))
    onnx.checker.check_model(ir.to_proto(cropped), full_check=True)
    expected, got = outputs_of(ir.from_proto(proto), length)["y"], outputs_of(cropped, length)["y"]
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 2e-6 * max(1, np.abs(expected).max())
