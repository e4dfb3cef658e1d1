"""What is written for LiteRT gives what ONNX Runtime gives; skipped where LiteRT is not installed."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from dashdeploy.errors import InputError
from dashdeploy.runtimes.converted.onnx_interface import interface
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'dashdeploy[litert]'")

from dashdeploy.runtimes.converted.litert import LiteRT, convert_to_litert


def model_of(text, opset=20, **constants):
    """A model of ONNX's text form; arrays are constants."""
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> net {text}')
    generator = np.random.default_rng(0)
    for name, given in constants.items():
        array = generator.standard_normal(given).astype("f4") if isinstance(given, tuple) else given
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model.SerializeToString()


def integers(*values):
    return np.array(values, np.int64)


def operators(content):
    """The operators of a file, in order."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {
        number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")
    }
    codes = [names[code.builtinCode] for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]


def agree(content, batch=2, scale=1.0):
    """The operators that were written, after the outputs were compared with ONNX Runtime's."""
    inputs, outputs = interface(content)
    written = convert_to_litert(content, batch)
    runtime = LiteRT(written, inputs=inputs, outputs=outputs, batch=batch, threads=1)
    generator = np.random.default_rng(1)
    shapes = {spec.name: [n if isinstance(n, int) else batch for n in spec.shape] for spec in inputs}
    feeds = {
        spec.name: (scale * generator.standard_normal(shapes[spec.name])).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else generator.integers(0, 5, shapes[spec.name]).astype(spec.dtype)
        for spec in inputs
    }
    expected, got = OnnxRuntime(content, threads=1).run(feeds), runtime.run(feeds)
    assert list(got) == [spec.name for spec in outputs]
    for name, array in expected.items():
        assert got[name].shape == array.shape and got[name].dtype == array.dtype
        # Float32 in another order of summation: 1e-5 of the largest, what parity allows a model.
        np.testing.assert_allclose(got[name], array, rtol=0, atol=1e-5 * max(np.abs(array).max(), 1e-3))
    return operators(written)


LENGTH = "(float[batch, 4, 20] x) => (float[batch, c, n] y)"
PLANE = "(float[batch, 4, 12, 10] x) => (float[batch, c, h, w] y)"


@pytest.mark.parametrize(
    "attributes, taps",
    [
        ("pads = [3, 3]", (6, 4, 7)),
        ("pads = [6, 6], dilations = [3]", (6, 4, 5)),
        ("pads = [4, 0], dilations = [2]", (6, 4, 3)),  # causal
        ("pads = [1, 2], strides = [2]", (6, 4, 4)),
        ('auto_pad = "SAME_UPPER", strides = [3]', (6, 4, 4)),
        ('auto_pad = "SAME_LOWER"', (6, 4, 4)),
        ('auto_pad = "VALID"', (6, 4, 4)),
        ("group = 4, pads = [2, 2]", (4, 1, 5)),
        ("group = 4, pads = [2, 2]", (8, 1, 5)),  # two outputs of each channel
        ("group = 2, pads = [2, 2]", (6, 2, 5)),
        ("", (6, 4, 1)),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions_along_one_axis(attributes, taps, bias):
    constants = {"w": taps, **({"b": taps[:1]} if bias else {})}
    call = f"Conv<{attributes}>" if attributes else "Conv"
    agree(model_of(f"{LENGTH} {{ y = {call}({', '.join(['x', *constants])}) }}", **constants))


@pytest.mark.parametrize(
    "attributes, taps",
    [
        ("pads = [1, 2, 1, 2]", (6, 4, 3, 5)),
        ("pads = [2, 2, 2, 2], dilations = [2, 1], strides = [1, 2]", (6, 4, 3, 5)),
        ("pads = [0, 1, 1, 0], strides = [2, 2]", (6, 4, 2, 2)),
        ("group = 4, pads = [3, 3, 3, 3]", (4, 1, 7, 7)),
    ],
)
def test_convolutions_of_planes(attributes, taps):
    agree(model_of(f"{PLANE} {{ y = Conv<{attributes}>(x, w) }}", w=taps))


@pytest.mark.parametrize(
    "attributes, taps",
    [
        ("strides = [2]", (4, 6, 2)),
        ("strides = [2], pads = [1, 1]", (4, 6, 4)),
        ("strides = [3], pads = [0, 2], output_padding = [1]", (4, 6, 5)),
        ("", (4, 6, 3)),
    ],
)
def test_transposed_convolutions(attributes, taps):
    call = f"ConvTranspose<{attributes}>" if attributes else "ConvTranspose"
    agree(model_of(f"{LENGTH} {{ y = {call}(x, w, b) }}", w=taps, b=taps[1:2]))
    plane = f"{PLANE} {{ y = ConvTranspose<strides = [2, 3]>(x, w) }}"
    agree(model_of(plane, w=(4, 6, 2, 3)))


@pytest.mark.parametrize(
    "call",
    [
        "MaxPool<kernel_shape = [3], pads = [1, 1]>",
        "MaxPool<kernel_shape = [3], pads = [2, 0], strides = [2]>",
        "MaxPool<kernel_shape = [2], strides = [2]>",
        "AveragePool<kernel_shape = [3], pads = [1, 1]>",
        "AveragePool<kernel_shape = [3], pads = [1, 1], count_include_pad = 1>",
        "AveragePool<kernel_shape = [4], pads = [2, 1], count_include_pad = 1, strides = [3]>",
        "GlobalAveragePool",
        "GlobalMaxPool",
    ],
)
def test_pools(call):
    agree(model_of(f"{LENGTH} {{ y = {call}(x) }}"))


@pytest.mark.parametrize(
    "name",
    [
        "Relu",
        "Sigmoid",
        "Tanh",
        "Exp",
        "Neg",
        "Abs",
        "Floor",
        "Ceil",
        "HardSwish",
        "Sin",
        "Cos",
        "Sign",
        "Erf",
        "Softplus",
        "Elu",
        "Selu",
        "HardSigmoid",
        "Reciprocal",
    ],
)
def test_what_is_done_to_each_number(name):
    agree(model_of(f"(float[batch, 4, 20] x) => (float[batch, 4, 20] y) {{ y = {name}(x) }}"))


@pytest.mark.parametrize(
    "body, constants",
    [
        ("a = Abs(x) b = Add(a, one) c = Log(b) y = Sqrt(c)", {"one": np.ones(1, "f4")}),
        ("y = LeakyRelu<alpha = 0.2>(x)", {}),
        ("y = Gelu(x)", {}),
        ("y = Gelu<approximate = \"tanh\">(x)", {}),
        ("y = PRelu(x, s)", {"s": (4, 1)}),
        ("a = Mean(x, x, row) b = Max(a, x, row) y = Sum(b, x, a)", {"row": (20,)}),
        ("y = InstanceNormalization(x, s, o)", {"s": (4,), "o": (4,)}),
        ("y = Clip(x, low, high)", {"low": np.float32(-0.5), "high": np.float32(1)}),
        ("y = Clip(x, , high)", {"high": np.float32(1)}),
        ("y = Softmax<axis = 1>(x)", {}),
        ("y = Softmax(x)", {}),
        ("a = Add(x, row) b = Sub(a, channel) c = Mul(b, x) d = Max(c, x) y = Min(d, channel)",
         {"row": (20,), "channel": (4, 1)}),
        ("a = Exp(x) b = Pow(a, p) y = Div(x, b)", {"p": np.float32(1.5)}),
        ("a = LayerNormalization(x, s, o) y = Identity(a)", {"s": (20,), "o": (20,)}),
        ("a = BatchNormalization(x, s, o, m, v) y = Dropout(a)",
         {"s": (4,), "o": (4,), "m": (4,), "v": np.full(4, 2, "f4")}),
        ("a = Transpose<perm = [2, 0, 1]>(x) b = Transpose<perm = [0, 2, 1]>(a) "
         "y = Transpose<perm = [2, 1, 0]>(b)", {}),
        ("a = Unsqueeze(x, one) b = Squeeze(a, one) c = Flatten(b) y = Reshape(c, s)",
         {"one": integers(1), "s": integers(-1, 4, 20)}),
        ("a, b = Split<axis = 2, num_outputs = 2>(x) y = Concat<axis = 2>(b, a)", {}),
        ("a = ConstantOfShape(s) y = Add(x, a)", {"s": integers(4, 20)}),
    ],
)  # fmt: skip
def test_other_operators_of_one_shape(body, constants):
    agree(model_of(f"(float[batch, 4, 20] x) => (float[batch, 4, 20] y) {{ {body} }}", **constants))


@pytest.mark.parametrize(
    "body, constants",
    [
        ("y = Pad(x, p)", {"p": integers(0, 0, 2, 0, 0, 3)}),
        ("y = Pad(x, p, v)", {"p": integers(0, 1, 2, 0, 0, 3), "v": np.float32(1.5)}),
        ("y = Pad<mode = \"reflect\">(x, p)", {"p": integers(0, 0, 2, 0, 0, 3)}),
        ("y = Pad(x, p)", {"p": integers(0, 0, -2, 0, 0, 3)}),
        ("y = Pad(x, p, , axes)", {"p": integers(2, 3), "axes": integers(2)}),
        ("y = Slice(x, s, e, axes)", {"s": integers(1, -7), "e": integers(99, -2), "axes": integers(1, 2)}),
        ("y = Slice(x, s, e, axes, t)",
         {"s": integers(1), "e": integers(19), "axes": integers(2), "t": integers(3)}),
        ("y = Slice(x, s, e, axes, t)",
         {"s": integers(-1), "e": integers(-99), "axes": integers(2), "t": integers(-1)}),
        ("y = Gather<axis = 2>(x, i)", {"i": integers(3, 3, -1, 0)}),
        ("y = Gather<axis = 1>(x, i)", {"i": np.array([[0, 1], [3, 2]])}),
        ("y = ReduceMean<keepdims = 0>(x, axes)", {"axes": integers(2)}),
        ("y = ReduceMax(x, axes)", {"axes": integers(1, -1)}),
        ("y = ReduceSum<keepdims = 0>(x, axes)", {"axes": integers(1)}),
        ("y = ReduceMin<keepdims = 0>(x, axes)", {"axes": integers(1, 2)}),
        ("y = MatMul(x, w)", {"w": (20, 3)}),
        ("y = MatMul(w, x)", {"w": (3, 4)}),
        ("y = MatMul(x, w)", {"w": (1, 20, 3)}),
        ("a = Transpose<perm = [0, 2, 1]>(x) y = MatMul(x, a)", {}),
        ("a = Flatten(x) y = Gemm<alpha = 0.5, beta = 2.0>(a, w, b)", {"w": (80, 3), "b": (3,)}),
        ("a = Flatten(x) y = Gemm<transB = 1>(a, w)", {"w": (3, 80)}),
        ("a = Gather<axis = 2>(x, i) y = Gemm(a, w)", {"i": np.int64(-1), "w": (4, 3)}),
        ("a = ReduceMean(x, axes) y = Expand(a, s)", {"axes": integers(2), "s": integers(1, 1, 7)}),
    ],
)  # fmt: skip
def test_operators_that_change_the_shape(body, constants):
    proto = onnx.load_from_string(
        model_of(f"(float[batch, 4, 20] x) => (float[batch] y) {{ {body} }}", **constants)
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    assert inferred.graph.output[0].type.tensor_type.HasField("shape")
    agree(inferred.SerializeToString())


def test_channels_stay_last_between_convolutions():
    """One transpose before the first and one after the last, none between."""
    text = "(float[batch, 4, 20] x) => (float[batch, 4, 20] y)"
    body = "a = Conv<pads = [1, 1]>(x, w) b = Relu(a) c = Add(b, one) d = Conv<pads = [1, 1]>(c, w) y = Add(d, x)"
    written = agree(model_of(f"{text} {{ {body} }}", w=(4, 4, 3), one=(4, 1)))
    assert written.count("TRANSPOSE") == 2 and written.count("CONV_2D") == 2


def test_a_transpose_of_axes_of_one_is_a_reshape():
    text = "(float[batch, 1, 20] x) => (float[20, batch, 4] y)"
    content = model_of(f"{text} {{ a = Conv(x, w) y = Transpose<perm = [2, 0, 1]>(a) }}", w=(4, 1, 1))
    assert "TRANSPOSE" not in agree(content, batch=1)
    assert "TRANSPOSE" in agree(content, batch=2)


def test_gathers_of_padded_gathers_become_one():
    """Zeros of the padding are kept apart from the rows, and Relu comes before the gather."""
    text = "(float[batch, 20] x) => (float[batch, 12] y)"
    body = "a = Neg(x) b = Gather<axis = 1>(a, i) c = Relu(b) d = Pad(c, p) y = Gather<axis = 1>(d, j)"
    first, second = (
        np.random.default_rng(0).permutation(20)[:18],
        np.random.default_rng(1).permutation(24)[:12],
    )
    constants = {"i": first, "p": integers(0, 2, 0, 4), "j": second}
    written = agree(model_of(f"{text} {{ {body} }}", **constants))
    assert written == ["NEG", "RELU", "PAD", "GATHER"]


def test_a_gather_of_few_rows_comes_before_what_is_done_to_them():
    text = "(float[batch, 20] x) => (float[batch, 3] y)"
    written = agree(model_of(f"{text} {{ a = Gather<axis = 1>(x, i) y = Relu(a) }}", i=integers(5, 1, 9)))
    assert written == ["GATHER", "RELU"]


def test_inputs_and_constants_may_be_outputs_and_types_are_kept():
    results = "float[batch, 3] y, float[batch, 3] z, float[batch, 2] e, float[2] c"
    text = f"(float[batch, 3] x, int64[batch] i) => ({results})"
    body = "y = Identity(x) z = Identity(x) e = Gather(table, i) c = Identity(k)"
    agree(model_of(f"{text} {{ {body} }}", table=(5, 2), k=(2,)))


def test_more_samples_than_the_batch_run_in_pieces():
    content = model_of(f"{LENGTH} {{ y = Conv<pads = [3, 3]>(x, w) }}", w=(6, 4, 7))
    inputs, outputs = interface(content)
    runtime = LiteRT(convert_to_litert(content, 2), inputs=inputs, outputs=outputs, batch=2, threads=1)
    x = np.random.default_rng(2).standard_normal((5, 4, 20)).astype("f4")
    expected = OnnxRuntime(content, threads=1).run({"x": x})["y"]
    np.testing.assert_allclose(
        runtime.run({"x": x})["y"], expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    assert "batch 2" in runtime.describe()


@pytest.mark.parametrize(
    "body, message",
    [
        ("a = Asinh(x) y = Relu(a)", r"no form of Asinh here"),
        ("y = AveragePool<kernel_shape = [3], strides = [2], ceil_mode = 1>(x)", "the pool to y .*`ceil_mode`"),
        ("y = Pad<mode = \"edge\">(x, p)", "y is padded by `edge`"),
        ("y = ConvTranspose<group = 2>(x, w)", "transposed convolution to y .* groups"),
        ("y = Conv<pads = [1, 1]>(x, x)", "convolution to y .* computed taps"),
    ],
)  # fmt: skip
def test_what_has_no_form_is_refused_by_name(body, message):
    content = model_of(f"{LENGTH} {{ {body} }}", p=integers(0, 0, 1, 0, 0, 1), w=(4, 3, 2))
    with pytest.raises(InputError, match=message):
        convert_to_litert(content)


def test_old_opsets_and_broken_nodes_are_refused_in_a_line():
    text = "(float[batch, 3] x) => (float[batch, 3] y)"
    with pytest.raises(
        InputError, match="the model has opset 11, and operators meant something else before 13"
    ):
        convert_to_litert(model_of(f"{text} {{ y = Softmax<axis = 1>(x) }}", opset=11))
    with pytest.raises(InputError, match=r"cannot write LeakyRelu \(y\): "):
        convert_to_litert(model_of(f'{text} {{ y = LeakyRelu<alpha = "steep">(x) }}'))


def test_numbers_that_are_not_float32_are_refused():
    content = model_of("(double[batch, 3] x) => (double[batch, 3] y) { y = Relu(x) }")
    with pytest.raises(InputError, match="without float64"):
        convert_to_litert(content)
