"""ONNX models as torch modules, run as they are, against ONNX Runtime."""

import numpy as np
import pytest
import torch
from onnx import numpy_helper, parser

from dashdeploy.errors import InputError
from dashdeploy.runtimes.converted.torch_form.delegated import DELEGATED
from dashdeploy.runtimes.converted.torch_form.operators import OPERATORS
from dashdeploy.runtimes.converted.torch_form.program import OnnxProgram
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

CASES = {
    "uneven padding": ("y = Conv<pads = [3, 1], strides = [2], group = 2>(x, w422)", {"w422": (4, 2, 5)}),
    "transposed": ("y = ConvTranspose<strides = [2], pads = [1, 1]>(x, w443)", {"w443": (4, 4, 3)}),
    "pools": (
        "a = MaxPool<kernel_shape = [3], strides = [2], pads = [1, 0]>(x) "
        "y = AveragePool<kernel_shape = [3], pads = [1, 1]>(a)",
        {},
    ),
    "global pools": ("a = GlobalAveragePool(x) b = GlobalMaxPool(x) y = Add(a, b)", {}),
    "norms": (
        "a = BatchNormalization(x, c1, c2, c3, c4) b = InstanceNormalization(a, c1, c2) "
        "c = LayerNormalization<axis = -1>(b, l1, l2) y = Gelu(c)",
        {"c1": (4,), "c2": (4,), "c3": (4,), "c4": (4,), "l1": (12,), "l2": (12,)},
    ),
    "activations": (
        "a = LeakyRelu<alpha = 0.2>(x) b = Elu(a) c = Clip(b, low, high) d = HardSigmoid(c) e = HardSwish(d) "
        "f = Softplus(e) y = Softmax<axis = 1>(f)",
        {"low": np.float32(-0.7), "high": np.float32(0.9)},
    ),
    "steps backwards": (
        "a = Slice(x, i11, i_less_99, i2, i_less_3) b = Slice(a, i0, i3, i2) y = Concat<axis = 1>(a, a)",
        {"i11": [11], "i_less_99": [-99], "i2": [2], "i_less_3": [-3], "i0": [0], "i3": [3]},
    ),
    "pieces": (
        "a, b = Split<axis = 1>(x, parts) c = Sub(a, b) y = Unsqueeze(c, i2)",
        {"parts": [2, 2], "i2": [2]},
    ),
    "sizes": (
        "s = Shape(x) n = Gather<axis = 0>(s, zero) m = Gather<axis = 0>(s, one) u = Unsqueeze(n, i0) "
        "v = Unsqueeze(m, i0) t = Concat<axis = 0>(u, v, less) y = Reshape(x, t)",
        {"zero": np.int64(0), "one": np.int64(1), "i0": [0], "less": [-1]},
    ),
    "a gather inside": ("y = Gather<axis = 2>(x, places)", {"places": np.array([[0, -1], [3, 3]])}),
    "rows": (
        "a = Transpose<perm = [2, 0, 1]>(x) b = Pad(a, pads) c = Gather<axis = 0>(b, tiles) y = Relu(c)",
        {"pads": [2, 0, 0, 1, 0, 0], "tiles": [6, 5, 4, 7, 8, 11, 10, 9, 12, 13]},
    ),
    "matrices": (
        "a = Flatten(x) b = Gemm<alpha = 0.5, transB = 1>(a, m, c) y = MatMul(b, n)",
        {"m": (6, 48), "c": (6,), "n": (6, 5)},
    ),
    "reductions": (
        "a = ReduceMean(x, i2) b = ReduceL2<keepdims = 0>(a, i2) y = Pow(b, two)",
        {"i2": [2], "two": np.float32(2)},
    ),
    "a constant inside": ("k = Constant<value = float[1] {2.5}>() y = Mul(x, k)", {}),
}


def model(text, constants, declared="float[batch, 4, 12] x"):
    made = parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> net ({declared}) => (float[batch, *] y) {{ {text} }}'.replace(
            "[batch, *]", ""
        )
    )
    generator = np.random.default_rng(0)
    for name, value in constants.items():
        drawn = isinstance(value, tuple)
        array = generator.uniform(0.5, 1.5, value).astype("f4") if drawn else np.asarray(value)
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    return made.SerializeToString()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "operators"), [(1, OPERATORS), (3, OPERATORS), (2, DELEGATED)])
def test_it_says_what_onnx_runtime_says(case, batch, operators):
    content = model(*CASES[case])
    x = np.random.default_rng(1).standard_normal((batch, 4, 12)).astype("f4")
    expected = OnnxRuntime(content, threads=1).run({"x": x})["y"]
    program = OnnxProgram(content, batch, operators)
    assert [tuple(each.shape) for each in program.examples] == [(batch, 4, 12)]
    with torch.inference_mode():
        got = program(torch.from_numpy(x)).numpy()
        exported = torch.export.export(program, program.examples, strict=False).module()
        again = exported(torch.from_numpy(x)).numpy()
    assert got.shape == expected.shape
    # Single precision, in another order of summation.
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(again, got)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "y = Det(x)",
            r"Det \(output y\) has no form as a torch program: the operator is not known; choose another",
        ),
        ("y = AveragePool<kernel_shape = [2], ceil_mode = 1>(x)", "rounds its size up"),
        ('y = Conv<auto_pad = "SAME_UPPER">(x, w)', "its padding is SAME_UPPER, not explicit"),
        ("s = Cast<to = 7>(r) y = Reshape(x, s)", "input 1 is computed, and has to be a constant"),
    ],
)
def test_what_has_no_form_is_refused_by_name(text, reason):
    constants = {"w": (4, 4, 3)} if "w)" in text else {}
    declared = "float[batch, 4, 12] x" + (", float[3] r" if "r)" in text else "")
    with pytest.raises(InputError, match=reason):
        OnnxProgram(model(text, constants, declared))


def test_what_depends_on_weights_alone_is_folded():
    content = model("v = MatMul(a, b) u = Transpose(v) y = MatMul(x, u)", {"a": (5, 3), "b": (3, 12)})
    program = OnnxProgram(content)
    assert [tuple(each.shape) for each in program.buffers()] == [(12, 5)]
    assert len(program._steps) == 1
