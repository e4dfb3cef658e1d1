"""`auto_pad` in one and two dimensions, forced to the FFT, against PyTorch in float64 padded as ONNX defines it."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from dashdeploy.artifacts.bundle import DIRECT_NAME, MODEL_NAME
from dashdeploy.errors import InputError
from dashdeploy.export.frontend.automatic_padding import with_explicit_pads
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32."""


@dataclass(frozen=True)
class Case:
    """A Conv node with automatic padding; `axes` has (extent, taps, dilation, stride) of each axis."""

    mode: str
    axes: tuple[tuple[int, int, int, int], ...]
    groups: int
    channels: tuple[int, int]
    bias: bool
    batch: int

    def missing(self):
        """Zeros in all that SAME adds per axis (ONNX's operator Conv); below 0 it leaves inputs out."""
        return [(-(-n // s) - 1) * s + d * (k - 1) + 1 - n for n, k, d, s in self.axes]


@st.composite
def cases(draw):
    mode = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    rank = draw(st.integers(1, 2))
    axes = []
    for _ in range(rank):
        k, d = draw(st.integers(1, 9)), draw(st.integers(1, 12))
        least = d * (k - 1) + 1 if mode == "VALID" else 1
        axes.append((draw(st.integers(least, least + 40)), k, d, draw(st.integers(1, 4))))
    groups = draw(st.integers(1, 3))
    channels = tuple(groups * draw(st.integers(3, 6)) for _ in range(2))
    return Case(mode, tuple(axes), groups, channels, draw(st.booleans()), draw(st.integers(1, 3)))


def model_of(case, weight, bias):
    cin, cout = case.channels
    extents, kernel, dilations, strides = zip(*case.axes, strict=True)
    node = helper.make_node(
        "Conv",
        ["x", "w", "c"] if case.bias else ["x", "w"],
        ["y"],
        auto_pad=case.mode,
        group=case.groups,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", cin, *extents])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", cout, *[None] * len(extents)])],
        [numpy_helper.from_array(weight, "w"), *([numpy_helper.from_array(bias, "c")] if case.bias else [])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def expected_of(case, x, weight, bias):
    _, _, dilations, strides = zip(*case.axes, strict=True)
    pads = []
    for total in case.missing() if case.mode != "VALID" else [0] * len(case.axes):
        small, large = total // 2, total - total // 2
        pads = [*((small, large) if case.mode == "SAME_UPPER" else (large, small)), *pads]
    convolve = torch.nn.functional.conv1d if len(case.axes) == 1 else torch.nn.functional.conv2d
    return convolve(
        torch.nn.functional.pad(torch.from_numpy(x).double(), pads),
        torch.from_numpy(weight).double(),
        torch.from_numpy(bias).double() if case.bias else None,
        stride=strides,
        dilation=dilations,
        groups=case.groups,
    ).numpy()


@given(case=cases())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    case=Case("SAME_UPPER", ((3, 8, 5, 1),), 1, (4, 4), False, 1)
)  # even taps, a field far beyond the input
@example(case=Case("SAME_LOWER", ((17, 4, 1, 2), (20, 3, 3, 1)), 2, (4, 6), True, 2))
@example(case=Case("VALID", ((40, 9, 3, 2), (30, 1, 1, 3)), 1, (3, 3), True, 3))
def test_automatic_padding_is_what_onnx_defines(case, fft, run_model):
    assume(case.mode == "VALID" or min(case.missing()) >= 0)
    cin, cout = case.channels
    generator = np.random.default_rng(0)
    extents, kernel, *_ = zip(*case.axes, strict=True)
    x = generator.standard_normal((case.batch, cin, *extents)).astype(np.float32)
    weight = generator.standard_normal((cout, cin // case.groups, *kernel)).astype(np.float32)
    bias = generator.standard_normal(cout).astype(np.float32)
    (y,) = run_model(fft(model_of(case, weight, bias), expected=1), {"x": x})
    expected = expected_of(case, x, weight, bias)
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
def test_same_padding_that_leaves_out_inputs_stays_as_it_is(mode):
    case = Case(mode, ((10, 1, 1, 4),), 1, (3, 3), False, 1)  # engines do not agree which inputs are left out
    assert min(case.missing()) < 0
    weight = np.ones((3, 3, 1), np.float32)
    (found,) = find_convolutions(prepare(ir.from_proto(model_of(case, weight, weight[0, 0]))))
    assert "engines disagree" in found.obstacle


CONVOLUTIONS = {
    "one axis": (nn.Conv1d(4, 6, 5, padding="same", dilation=4), (4, 50)),
    "an even kernel": (nn.Conv1d(4, 6, 8, padding="same", dilation=3), (4, 50)),
    "two axes": (nn.Conv2d(3, 4, 5, padding="same", dilation=2), (3, 20, 17)),
    "one tap": (nn.Conv1d(4, 4, 1, padding="same", dilation=2), (4, 50)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore")
def test_what_torchs_older_exporter_writes_for_same_padding_is_exported(name, tmp_path):
    network, shape = CONVOLUTIONS[name]
    network = nn.Sequential(network, nn.ReLU()).eval()
    x, path, axes = torch.randn(2, *shape), tmp_path / "m.onnx", {"x": {0: "N"}, "y": {0: "N"}}
    torch.onnx.export(
        network, x, path, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=axes
    )
    (conv,) = (node for node in onnx.load(path).graph.node if node.op_type == "Conv")
    assert {"auto_pad", "dilations"} <= {attribute.name for attribute in conv.attribute}
    said: list[str] = []
    bundle = export(
        path, tmp_path / "bundle", ExportSettings(lowering="fft", tune="estimate"), progress=said.append
    )
    assert any("writing out the padding" in line for line in said)
    for file in (MODEL_NAME, DIRECT_NAME):
        (found,) = OnnxRuntime(bundle.path / file).run({"x": x.numpy()}).values()
        np.testing.assert_allclose(
            found, network(x).detach().numpy(), atol=1e-5, rtol=0
        )  # the project's parity


def strided_model(length):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, length])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], "pool", auto_pad="SAME_LOWER", kernel_shape=[4], dilations=[2], strides=[3]
    )
    return helper.make_model(
        helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)]
    )


def test_poolings_and_strides_are_padded_as_the_length_asks():
    padded = with_explicit_pads(ir.from_proto(strided_model(20)))
    (pool,) = padded.graph
    # 7 outputs, 3 apart, of 7 positions each, need 25: 5 more than there are, the larger half before them.
    assert list(pool.attributes["pads"].as_ints()) == [3, 2]
    assert "auto_pad" not in pool.attributes
    assert with_explicit_pads(padded) is None


def test_a_stride_over_an_unknown_length_is_refused():
    with pytest.raises(InputError, match="'pool' has auto_pad SAME_LOWER with dilation and stride 3"):
        with_explicit_pads(ir.from_proto(strided_model("n")))
