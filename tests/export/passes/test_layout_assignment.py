"""Operators between lowered convolutions in rows: the same numbers, and fewer transposes."""

from math import prod

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.passes.layout_assignment import AssignLayout
from dashdeploy.export.passes.sequence import lower, prepare

TOLERANCE = 5e-6
"""Of the largest output, in float32, as for every lowered model: moves alone change nothing."""

ONE_AXIS = {"w": (6, 4, 9), "v": (6, 6, 9), "u": (6, 6, 5)}
SAME = "Conv<pads = [4,4]>"

GRAPHS = {
    # text, weights, convolutions, Transposes that are left
    "residual": (
        f"""g (float[b,4,40] x) => (float[b,6,40] y) {{
        h = {SAME}(x, w)  r = Relu(h)  i = {SAME}(r, v)  a = Relu(i)  s = Add(a, r)  t = Relu(s)
        j = Conv<pads = [2,2]>(t, u)  k = Add(j, t)  y = Relu(k) }}""",
        ONE_AXIS,
        3,
        2,
    ),
    "constants per channel, scalar and whole": (
        f"""g (float[b,4,40] x) => (float[b,6,40] y) {{
        h = {SAME}(x, w)  k = Mul(h, scale)  l = Add(k, shift)  m = Pow(l, two)  n = Sub(m, whole)
        o = Clip(n, low, high)  y = {SAME}(o, v) }}""",
        ONE_AXIS
        | {"scale": (6, 1), "shift": (1, 6, 1), "two": 2.0, "whole": (1, 6, 40), "low": -1.0, "high": 3.0},
        2,
        2,
    ),
    "concatenated and split again": (
        f"""g (float[b,4,40] x) => (float[b,6,40] y) {{
        h = {SAME}(x, w)  i = Conv<pads = [8,8], dilations = [2]>(x, w)  c = Concat<axis = -2>(h, i)
        p, q = Split<axis = 1>(c, sizes)  r = {SAME}(q, v)  s = Mul(p, r)  y = Conv<pads = [2,2]>(s, u) }}""",
        ONE_AXIS | {"sizes": [6, 6]},
        4,
        3,  # both convolutions of x transpose it; an engine finds that they are the same
    ),
    "a norm before an activation, and a part of a residual": (
        f"""g (float[b,4,40] x) => (float[b,6,32] y) {{
        h = {SAME}(x, w)  n = BatchNormalization<epsilon = 0.01>(h, scale, shift, shift, variance)
        r = Relu(n)  i = Conv(r, v)  p = Slice(h, start, end, axis)  y = Add(i, p) }}""",
        ONE_AXIS
        | {"scale": (6,), "shift": (6,), "start": [4], "end": [36], "axis": [-1]}
        | {"variance": np.linspace(0.5, 2, 6, dtype="f4")},
        2,
        2,
    ),
    "two axes with a norm": (
        """g (float[b,4,9,8] x) => (float[b,4,9,8] y) {
        h = Conv<pads = [1,1,1,1]>(x, w)  n = BatchNormalization(h, scale, shift, shift, variance)
        y = Add(n, h) }""",
        {"w": (4, 4, 3, 3), "scale": (4,), "shift": (4,), "variance": np.linspace(0.5, 2, 4, dtype="f4")},
        1,
        2,
    ),
    "two axes": (
        """g (float[b,4,9,8] x) => (float[b,4,9,8] y) {
        h = Conv<pads = [1,1,1,1]>(x, w)  r = PRelu(h, slope)  i = Conv<pads = [1,1,1,1]>(r, w)
        y = Sum(i, r, x) }""",
        {"w": (4, 4, 3, 3), "slope": (4, 1, 1)},
        2,
        2,
    ),
    "one value that other operators want channels first": (
        f"""g (float[b,4,40] x) => (float[b,6,40] y, float[b,6,1] z) {{
        h = {SAME}(x, w)  r = Relu(h)  i = {SAME}(r, v)  y = Add(i, r)  z = GlobalAveragePool(r) }}""",
        ONE_AXIS,
        2,
        3,
    ),
    "the outputs of the graph": (
        f"""g (float[b,4,40] x) => (float[b,6,40] h, float[b,6,40] r, float[b,6,40] y) {{
        h = {SAME}(x, w)  r = Relu(h)  y = {SAME}(r, v) }}""",
        ONE_AXIS,
        2,
        None,
    ),
    "nothing to save": (
        """g (float[b,4,40] x) => (float[b,4,40] y) {
        a = Relu(x)  h = Conv<pads = [4,4]>(a, w)  p = MaxPool<kernel_shape = [3], pads = [1,1]>(h)
        y = Add(p, a) }""",
        {"w": (4, 4, 9)},
        1,
        2,
    ),
    "read in a branch": (
        """g (float[b,4,40] x) => (float[b,4,40] y) {
        h = Conv<pads = [4,4]>(x, w)  r = Relu(h)  s = Conv<pads = [4,4]>(r, w)
        m = ReduceMax<keepdims = 0>(x)  k = Greater(m, m)
        y = If(k)< then_branch = t () => (float[b,4,40] a) { a = Abs(r) },
                   else_branch = e () => (float[b,4,40] d) { d = Add(r, s) }> }""",
        {"w": (4, 4, 9)},
        2,
        3,
    ),
}


def arrays(values):
    """Lists and numbers as arrays; shapes stay, for random values."""
    kinds = {list: np.int64, float: np.float32}
    return {
        name: value if isinstance(value, tuple | np.ndarray) else np.asarray(value, kinds[type(value)])
        for name, value in values.items()
    }


def transposes(model: ir.Model) -> int:
    return sum(node.op_type == "Transpose" for node in model.graph)


def transposed(model: ir.Model) -> int:
    """Elements per sample that all Transposes move; the model must be a valid one."""
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    graph = onnx.shape_inference.infer_shapes(ir.to_proto(model)).graph
    shapes = {value.name: value.type.tensor_type.shape for value in (*graph.value_info, *graph.output)}
    outputs = [node.output[0] for node in graph.node if node.op_type == "Transpose"]
    return sum(prod(axis.dim_value or 1 for axis in shapes[name].dim) for name in outputs)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_numbers_with_fewer_transposes(onnx_model, fft, largest_error, monkeypatch, name, batch):
    text, weights, convolutions, left = GRAPHS[name]
    model = onnx_model(text, opset=18, **arrays(weights))
    shared = fft(model, expected=convolutions)
    assert largest_error(model, shared, batch) <= TOLERANCE
    monkeypatch.setattr(AssignLayout, "rewrite", lambda _self, _model: False)
    apart = fft(model, expected=convolutions)
    assert transposes(shared) <= transposes(apart) == 2 * convolutions
    if left is not None:
        assert transposes(shared) == left


OTHER_FORMS = {
    # text, weights, layers that are lowered, Transposes that are left
    "convolutions of one tap and a pool, as in an Inception block": (
        f"""g (float[b,4,40] x) => (float[b,6,40] y) {{
        h = {SAME}(x, w)  n = Conv(h, narrow, shift)  i = {SAME}(n, w)
        p = MaxPool<kernel_shape = [3], pads = [1,1]>(h)  q = Conv(p, wide)  s = Add(i, q)  r = Relu(s)
        y = {SAME}(r, v) }}""",
        ONE_AXIS | {"narrow": (4, 6, 1), "shift": (4,), "wide": (6, 6, 1)},
        ["w", "w#1", "v"],
        2,
    ),
    "a pool that takes every second position, behind the end": (
        f"""g (float[b,4,40] x) => (float[b,6,21] y) {{
        h = {SAME}(x, w)  p = MaxPool<kernel_shape = [4], pads = [2,1], strides = [2], ceil_mode = 1>(h)
        y = {SAME}(p, v) }}""",
        ONE_AXIS,
        ["w", "v"],
        2,
    ),
    "convolutions of one tap that stay": (
        f"""g (float[b,4,40] x) => (float[b,6,20] y) {{
        h = {SAME}(x, w)  n = Conv<strides = [2]>(h, one)  y = {SAME}(n, v) }}""",
        ONE_AXIS | {"one": (6, 6, 1)},
        ["w", "v"],
        4,
    ),
    "two axes with a convolution of one tap": (
        """g (float[b,4,9,8] x) => (float[b,4,9,8] y) {
        h = Conv<pads = [1,1,1,1]>(x, w)  n = Conv(h, one, shift)  r = Relu(n)
        y = Conv<pads = [1,1,1,1]>(r, w) }""",
        {"w": (4, 4, 3, 3), "one": (4, 4, 1, 1), "shift": (4,)},
        ["w", "w#1"],
        2,
    ),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", OTHER_FORMS)
def test_operators_with_another_form_in_rows(onnx_model, largest_error, name, batch):
    text, weights, layers, left = OTHER_FORMS[name]
    model = onnx_model(text, opset=18, **arrays(weights))
    lowering = FFT((24,) if len(weights["w"]) == 3 else (6, 6))
    compiled = lower(prepare(ir.from_proto(model)), dict.fromkeys(layers, lowering))
    assert transposes(compiled) == left
    kinds = [node.op_type for node in compiled.graph]
    assert ("Conv" in kinds) == ("stay" in name)
    assert largest_error(model, compiled, batch) <= TOLERANCE


def test_what_does_not_work_by_element_stays(onnx_model, fft, largest_error):
    text = f"""g (float[b,4,40] x) => (float[b,6,40] y) {{
        h = {SAME}(x, w)  r = Softmax<axis = 1>(h)  c = Concat<axis = 2>(r, r)
        s = Split<axis = 2, num_outputs = 2>(c)  y = {SAME}(s, v) }}"""
    text = text.replace("s = Split", "s, s2 = Split")
    model = onnx_model(text, opset=18, w=(6, 4, 9), v=(6, 6, 9))
    compiled = fft(model, expected=2)
    assert transposes(compiled) == 4
    assert largest_error(model, compiled, 2) <= TOLERANCE


@st.composite
def graphs(draw):
    """Convolutions, activations, sums and concatenations in any order; some layers cannot be lowered."""
    lines, width = ["v0 = Relu(x)"], {"v0": 4}
    weights = {}
    for i in range(1, draw(st.integers(3, 9))):
        name, source = f"v{i}", draw(st.sampled_from(sorted(width)))
        kind = draw(st.sampled_from(["conv", "one tap", "pool", "max", "act", "add", "cat"]))
        if kind == "conv":
            weights[f"w{i}"] = (4, width[source], 5)
            lines.append(f"{name} = Conv<pads = [2,2]>({source}, w{i})")
            width[name] = 4
        elif kind == "one tap":
            weights[f"w{i}"] = (4, width[source], 1)
            lines.append(f"{name} = Conv({source}, w{i})")
            width[name] = 4
        elif kind == "max":
            lines.append(f"{name} = MaxPool<kernel_shape = [3], pads = [1,1]>({source})")
            width[name] = width[source]
        elif kind == "pool":
            lines.append(f"{name} = AveragePool<kernel_shape = [3], pads = [1,1]>({source})")
            width[name] = width[source]
        elif kind == "act":
            lines.append(f"{name} = Elu({source})")
            width[name] = width[source]
        elif kind == "add":
            other = draw(st.sampled_from([v for v in sorted(width) if width[v] == width[source]]))
            lines.append(f"{name} = Add({source}, {other})")
            width[name] = width[source]
        else:
            other = draw(st.sampled_from(sorted(width)))
            lines.append(f"{name} = Concat<axis = 1>({source}, {other})")
            width[name] = width[source] + width[other]
    last = draw(st.sampled_from(sorted(width)))
    lines.append(f"y = Tanh({last})  z = Abs({name})")
    outputs = f"float[b,{width[last]},30] y, float[b,{width[name]},30] z"
    return f"g (float[b,4,30] x) => ({outputs}) {{ {'  '.join(lines)} }}", weights


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs())
def test_any_graph(onnx_model, largest_error, graph):
    text, weights = graph

    def forced(model):
        prepared = prepare(ir.from_proto(model))
        layers = [each.name for each in find_convolutions(prepared) if each.spec.kernel[0] > 1]
        return lower(prepared, dict.fromkeys(layers, FFT((16,))))

    model = onnx_model(text, **weights)
    compiled = forced(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AssignLayout, "rewrite", lambda _self, _model: False)
        apart = forced(model)
    assert transposed(compiled) <= transposed(apart)
    assert largest_error(model, compiled, 2) <= TOLERANCE
