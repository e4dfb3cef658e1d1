"""Whole graphs: what is fused, which layout and which engine their parts get, against ONNX Runtime."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.native.candidates import plain, tiles
from dashdeploy.export.native.planning import plan_native
from dashdeploy.export.passes.native_fusion import NativeChoice
from dashdeploy.export.passes.sequence import prepare, to_native
from dashdeploy.export.settings import ExportSettings
from dashdeploy.progress import silent
from dashdeploy.runtimes.native.graph_file import DOMAIN
from dashdeploy.runtimes.native.library import INSTRUCTIONS_VARIABLE, instruction_sets
from dashdeploy.runtimes.native.model import NativeModel
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 2e-6
"""Of the largest output: what is promised of a network."""

RESIDUAL = """
g (float[N,20,60] x) => (float[N,24,60] y) {
  a = Conv<pads=[3,3]>(x, w1, b1)
  r = Relu(a)
  c = Conv<pads=[6,6], dilations=[2]>(r, w2)
  s = Conv(x, w3)
  t = Add(c, s)
  y = Relu(t)
}"""
WEIGHTS = {"w1": (24, 20, 7), "b1": (24,), "w2": (24, 24, 7), "w3": (24, 20, 1)}

GRAPHS = {
    "residual": (RESIDUAL, WEIGHTS),
    "activation before the sum": (
        """g (float[N,12,30] x) => (float[N,12,30] y) {
          a = Conv<pads=[2,2]>(x, w1, b1)
          r = Relu(a)
          s = Add(r, x)
          t = Relu(s)
          b = Conv<pads=[4,0]>(t, w2)
          q = Relu(b)
          y = Add(t, q)
        }""",
        {"w1": (12, 12, 5), "b1": (12,), "w2": (12, 12, 5)},
    ),
    "value that is read twice": (
        """g (float[N,16,40] x) => (float[N,16,40] y, float[N,16,40] a) {
          a = Conv<pads=[2,2]>(x, w)
          r = Relu(a)
          y = Add(r, a)
        }""",
        {"w": (16, 16, 5)},
    ),
    "inception": (
        """g (float[N,1,50] x) => (float[N,5] y) {
          a = Conv<pads=[4,4]>(x, w1)
          b = Conv<pads=[2,2]>(x, w2)
          m = MaxPool<kernel_shape=[3], strides=[1], pads=[1,1]>(x)
          c = Conv(m, w3)
          j = Concat<axis=1>(a, b, c)
          k = Concat<axis=1>(j, x, a)
          r = Relu(k)
          d = Conv<pads=[3,3]>(r, w4)
          e = ReduceMean<keepdims=0>(d, axes)
          y = Gemm<transB=1>(e, w5, b5)
        }""",
        {
            "w1": (17, 1, 9),
            "w2": (8, 1, 5),
            "w3": (7, 1, 1),
            "w4": (24, 50, 7),
            "w5": (5, 24),
            "b5": (5,),
            "axes": np.array([2], np.int64),
        },
    ),
    "pre-activation in two dimensions": (
        """g (float[N,3,20,18] x) => (float[N,4] y) {
          a = Conv<pads=[1,1,1,1]>(x, w1)
          n = BatchNormalization(a, s, t, m, v)
          r = Relu(n)
          b = Conv<pads=[2,2,2,2], strides=[2,2]>(r, w2)
          c = Conv<strides=[2,2]>(r, w3)
          u = Add(b, c)
          k = Sigmoid(u)
          p = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(k)
          z = GlobalAveragePool(p)
          f = Flatten(z)
          y = MatMul(f, w4)
        }""",
        {
            "w1": (16, 3, 3, 3),
            **dict.fromkeys("stm", (16,)),
            "v": np.linspace(0.5, 2, 16, dtype=np.float32),
            "w2": (12, 16, 5, 5),
            "w3": (12, 16, 1, 1),
            "w4": (12, 4),
        },
    ),
    "operators of ONNX Runtime between": (
        """g (float[N,16,30] x) => (float[N,16,30] y, float[N,30,16] z) {
          a = Conv<pads=[2,2]>(x, w1)
          q = Softmax<axis=1>(a)
          h = Mul(q, a)
          b = Conv<pads=[2,2]>(h, w2)
          z = Transpose<perm=[0,2,1]>(b)
          y = Tanh(b)
        }""",
        {"w1": (16, 16, 5), "w2": (16, 16, 5)},
    ),
    "crops and splits": (
        """g (float[N,8,40] x) => (float[N,12,20] y, float[N,5,40] z) {
          c = Slice(x, starts, ends, axes)
          a = Conv<pads=[2,2]>(c, w1)
          p, q, z = Split<axis=1>(a, parts)
          d = Slice(q, starts2, ends2, axes2, steps2)
          e = Slice(p, starts2, ends2, axes2, steps2)
          k = Concat<axis=1>(e, d)
          y = Conv<pads=[3,3]>(k, w2)
        }""",
        {
            "w1": (25, 5, 5),
            "starts": np.array([1], np.int64),
            "ends": np.array([6], np.int64),
            "axes": np.array([1], np.int64),
            "parts": np.array([9, 11, 5], np.int64),
            "starts2": np.array([-33], np.int64),
            "ends2": np.array([27], np.int64),
            "axes2": np.array([-1], np.int64),
            "steps2": np.array([1], np.int64),
            "w2": (12, 20, 7),
        },
    ),
    "crops of planes": (
        """g (float[N,3,12,9] x) => (float[N,8,4,9] y, float[N,16,12,5] z) {
          a = Conv<pads=[2,2,2,2]>(x, w1)
          c = Slice(a, starts, ends, axes)
          y = Conv<pads=[0,1,0,1]>(c, w2)
          z = Slice(a, starts, ends3, axes3)
        }""",
        {
            "w1": (16, 3, 5, 5),
            "w2": (8, 16, 3, 3),
            "starts": np.array([4], np.int64),
            "ends": np.array([10], np.int64),
            "ends3": np.array([100], np.int64),
            "axes": np.array([2], np.int64),
            "axes3": np.array([3], np.int64),
        },
    ),
    "last position, scales": (
        """g (float[N,8,33] x) => (float[N,6] y) {
          a = Conv<pads=[8,0], dilations=[2]>(x, w1)
          e = Mul(a, scale)
          o = Add(shift, e)
          l = Gather<axis=2>(o, last)
          y = Gemm(l, w2, b2)
        }""",
        {
            "w1": (16, 8, 5),
            "scale": (16, 1),
            "shift": (1, 16, 1),
            "last": np.array(-1, np.int64),
            "w2": (16, 6),
            "b2": (6,),
        },
    ),
}


def choice_of(convolution):
    """A tile wherever there is one, so that both ways are in every network."""
    found = tiles(convolution.spec, 1)
    return found[0] if found else plain(convolution.spec)


def native_of(model):
    direct = prepare(ir.from_proto(model))
    choices = {each.name: choice_of(each) for each in find_convolutions(direct)}
    return to_native(direct, choices)


def fed(model, batch, seed=0):
    generator = np.random.default_rng(seed)
    runtime = OnnxRuntime(model.SerializeToString(), threads=1)
    return runtime, {spec.name: spec.random(batch, generator) for spec in runtime.inputs}


@pytest.mark.parametrize("instructions", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize("name", GRAPHS)
def test_networks_agree_with_onnx_runtime(name, instructions, onnx_model, monkeypatch):
    if instructions not in instruction_sets():
        pytest.skip(f"this machine has no {instructions}")
    monkeypatch.setenv(INSTRUCTIONS_VARIABLE, instructions)
    text, weights = GRAPHS[name]
    model = onnx_model(text, opset=18, **weights)
    native = NativeModel(serialized(native_of(model)), threads=2)
    assert native.instructions == instructions
    for batch in (1, 5):
        runtime, feeds = fed(model, batch, seed=batch)
        expected, got = runtime.run(feeds), native.run(feeds)
        assert list(got) == list(expected)
        for output, value in expected.items():
            assert got[output].shape == value.shape
            assert np.abs(got[output] - value).max() <= TOLERANCE * np.abs(value).max()


def test_sums_and_activations_become_part_of_the_convolution(onnx_model):
    graph = native_of(onnx_model(RESIDUAL, opset=18, **WEIGHTS)).graph
    assert [(node.domain, node.op_type) for node in graph] == [(DOMAIN, "FusedConv")] * 3
    first, shortcut, last = graph
    assert [node.attributes["activation"].as_string() for node in graph] == ["relu", "none", "relu"]
    assert shortcut.outputs[0] in last.inputs or first.outputs[0] in last.inputs
    assert last.outputs[0].name == "y"


def test_an_activation_before_the_sum_stays_there(onnx_model):
    text, weights = GRAPHS["activation before the sum"]
    graph = native_of(onnx_model(text, opset=18, **weights)).graph
    found = [node.attributes["activation"].as_string() for node in graph]
    assert found == ["relu_sum_relu", "relu_sum"]


def test_a_value_that_others_read_is_not_fused(onnx_model):
    text, weights = GRAPHS["value that is read twice"]
    operators = [node.op_type for node in native_of(onnx_model(text, opset=18, **weights)).graph]
    assert operators == ["FusedConv", "Relu", "Add"]


def test_one_program_runs_a_network_that_needs_nothing_else(onnx_model):
    for name, stages in (
        ("inception", 1),
        ("crops and splits", 1),
        ("crops of planes", 2),
        ("operators of ONNX Runtime between", 4),
    ):
        text, weights = GRAPHS[name]
        native = NativeModel(serialized(native_of(onnx_model(text, opset=18, **weights))))
        assert len(native._runs) == stages


PARALLEL = """
g (float[N,16,400] x) => (float[N,30,400] y, float[N,2,400] z) {
  a = Conv<pads=[19,19]>(x, w1, b1)
  b = Conv<pads=[9,9]>(x, w2)
  c = Conv<pads=[29,0]>(x, w3)
  s = Add(a, a)
  y = Concat<axis=1>(s, b)
  z = Relu(c)
}"""


def test_convolutions_that_read_the_same_value_become_one(onnx_model, tmp_path, monkeypatch):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path))
    sizes = {"w1": (20, 16, 39), "b1": (20,), "w2": (10, 16, 19), "w3": (2, 16, 30)}
    model = onnx_model(PARALLEL, opset=18, **sizes)
    direct = prepare(ir.from_proto(model))
    plan = plan_native(find_convolutions(direct), ExportSettings(target="native", tune="estimate"), silent)
    # Estimated, the one transform of the input makes it worthwhile.
    assert plan.fusion_groups == {"w1+w2+w3"}
    assert plan.choices["w1+w2+w3"].algorithm == "fft"
    assert [layer.chosen for layer in plan.layers[:3]] == ["part of w1+w2+w3"] * 3
    graph = to_native(direct, plan.choices, plan.fusion_groups).graph
    assert [node.op_type for node in graph].count("FusedConv") == 1
    native = NativeModel(serialized(to_native(direct, plan.choices, plan.fusion_groups)))
    assert len(native._runs) == 1
    runtime, feeds = fed(model, 3)
    got = native.run(feeds)
    for name, value in runtime.run(feeds).items():
        assert np.abs(got[name] - value).max() <= TOLERANCE * np.abs(value).max()


def test_layers_stay_apart_where_one_would_cost_more(onnx_model, tmp_path, monkeypatch):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path))
    text = """
    g (float[N,4,400] x) => (float[N,128,400] y, float[N,16,400] z) {
      y = Conv<pads=[1,1]>(x, w1)
      z = Conv<pads=[30,30]>(x, w2)
    }"""
    direct = prepare(ir.from_proto(onnx_model(text, opset=18, w1=(128, 4, 3), w2=(16, 4, 61))))
    plan = plan_native(find_convolutions(direct), ExportSettings(target="native", tune="estimate"), silent)
    assert plan.fusion_groups == frozenset()
    assert set(plan.choices) == {"w1", "w2"}


def test_threads_share_a_model(onnx_model):
    model = onnx_model(RESIDUAL, opset=18, **WEIGHTS)
    native = NativeModel(serialized(native_of(model)), threads=2)
    feeds = [fed(model, 1 + seed % 3, seed)[1] for seed in range(24)]
    expected = [native.run(each)["y"] for each in feeds]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(lambda each: native.run(each)["y"], feeds), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_is_refused(onnx_model):
    model = onnx_model(RESIDUAL, opset=18, **WEIGHTS)
    native = NativeModel(serialized(native_of(model)))
    for bad in (np.zeros((1, 20, 61), np.float32), np.zeros((1, 20, 60)), np.zeros((20, 60), np.float32)):
        with pytest.raises(InputError, match=r"x is float.* the model takes float32 of \['N', 20, 60\]"):
            native.run({"x": bad})
    with pytest.raises(InputError, match="the input x is missing"):
        native.run({})
    assert native.run({"x": np.zeros((0, 20, 60), np.float32)})["y"].shape == (0, 24, 60)


def test_another_version_is_refused(onnx_model):
    document = ir.to_proto(native_of(onnx_model(RESIDUAL, opset=18, **WEIGHTS)))
    for opset in document.opset_import:
        if opset.domain == DOMAIN:
            opset.version = 7
    with pytest.raises(
        InputError, match=r"version 7 of the domain dashdeploy.native.*export the model again"
    ):
        NativeModel(document.SerializeToString())
    with pytest.raises(InputError, match="no nodes of the domain"):
        NativeModel(onnx_model(RESIDUAL, opset=18, **WEIGHTS).SerializeToString())


def test_layers_that_are_not_chosen_stay(onnx_model):
    direct = prepare(ir.from_proto(onnx_model(RESIDUAL, opset=18, **WEIGHTS)))
    graph = to_native(direct, {"w1": NativeChoice("direct")}).graph
    assert sorted(node.op_type for node in graph) == ["Add", "Conv", "Conv", "FusedConv", "Relu"]
    document = ir.to_proto(to_native(direct, {"w1": NativeChoice("direct")}))
    onnx.checker.check_model(document)
    model = onnx_model(RESIDUAL, opset=18, **WEIGHTS)
    runtime, feeds = fed(model, 2)
    expected = runtime.run(feeds)["y"]
    got = NativeModel(document.SerializeToString()).run(feeds)["y"]
    assert np.abs(got - expected).max() <= TOLERANCE * np.abs(expected).max()
