"""1-D convolutions in 2-D clothes are planned as 1-D, and an axis that the kernel spans as a whole is channels."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.export.lowerings.canonical_form import canonical, canonical_weight, folded_axes
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.registry import LOWERINGS
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.targets.single_layer import random_weights, single_layer_model
from dashdeploy.export.torch.layers import torch_layer
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = 1.2e-5
"""Of the typical size of the largest output, in float32; see test_tiled.py."""


def conv(cin, cout, spatial, kernel, pads=None, dilations=None, strides=None, groups=1, bias=True):
    ones = (1,) * len(spatial)
    pads = pads or [0] * len(spatial)
    return ConvSpec(
        in_channels=cin,
        out_channels=cout,
        groups=groups,
        spatial=spatial,
        kernel=kernel,
        strides=strides or ones,
        dilations=dilations or ones,
        pads_begin=tuple(pads),
        pads_end=tuple(pads),
        bias=bias,
    )


def expected(spec, x, weight, bias):
    convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
    double = [None if array is None else torch.from_numpy(array).double() for array in (x, weight, bias)]
    return convolve[spec.rank](
        *double,
        stride=spec.strides,
        padding=spec.pads_begin,
        dilation=spec.dilations,
        groups=spec.groups,
    ).numpy()


def error(lowering, spec, batch=2):
    """Of the ONNX form and of the torch module, whichever is larger."""
    weight, bias = random_weights(spec)
    x = np.random.default_rng(1).standard_normal((batch, spec.in_channels, *spec.spatial)).astype("f4")
    model = ir.to_proto(single_layer_model(lowering, spec, weight, bias)).SerializeToString()
    wanted = expected(spec, x, weight, bias)
    results = [OnnxRuntime(model, threads=1).run({"x": x})["y"]]
    layer = torch_layer(lowering, spec, weight, bias)
    if layer is not None:
        results.append(layer(torch.from_numpy(x)).detach().numpy())
    for got in results:
        assert got.shape == wanted.shape
    # A random walk over the terms of a sum, which may cancel itself.
    typical = np.sqrt(expected(spec, x * x, weight * weight, None if bias is None else bias * bias))
    return max(np.abs(got - wanted).max() for got in results) / (typical.max() or 1e-30)


@pytest.mark.parametrize(
    ("spatial", "kernel", "pads"), [((1, 60), (1, 7), (0, 3)), ((60, 1), (7, 1), (3, 0))]
)
def test_a_line_in_a_plane_is_planned_as_a_line(spatial, kernel, pads):
    plane, line = conv(6, 4, spatial, kernel, pads), conv(6, 4, (60,), (7,), (3,))
    assert canonical(plane) == line
    for kind in (FFT, ToomCook):
        variants = kind.variants(plane)
        assert [variant.label for variant in variants] == [variant.label for variant in kind.variants(line)]
        for variant in variants:
            assert variant.multiply_adds(plane) == variant.multiply_adds(line)
            assert variant.bytes_moved(plane) == variant.bytes_moved(line)
            assert variant.operators(plane) == variant.operators(line)
        assert error(variants[0], plane) <= TOLERANCE
    assert error(Trimmed(), plane) <= TOLERANCE
    assert Trimmed.refuses(line) == "every tap is alive, and no axis can be folded"


def test_padding_around_an_axis_of_one_is_left_out_first():
    padded = conv(3, 5, (1, 40), (3, 5), (1, 2))
    assert canonical(padded) == conv(3, 5, (40,), (5,), (2,))
    assert error(ToomCook((12,)), padded) <= TOLERANCE


def test_a_kernel_as_high_as_the_input_sums_over_rows_as_over_channels():
    spec = conv(20, 24, (9, 56), (9, 3), (0, 1))
    assert canonical(spec) == conv(180, 24, (56,), (3,), (1,))
    assert error(Trimmed(), spec) <= TOLERANCE
    assert error(ToomCook((8,)), spec) <= TOLERANCE
    assert error(FFT((16,)), spec) <= TOLERANCE


def test_what_a_reshape_cannot_fold_keeps_its_axes_for_the_engine():
    wide = conv(4, 6, (50, 5), (3, 5), (1, 0))
    assert canonical(wide).rank == 1
    assert Trimmed.refuses(wide) is not None
    assert error(ToomCook((8,)), wide) <= TOLERANCE


def test_three_axes_of_which_one_is_none():
    spec = conv(3, 4, (1, 12, 14), (1, 3, 5), (0, 1, 2))
    assert canonical(spec).rank == 2
    assert FFT.refuses(spec) is None
    assert FFT.refuses(conv(3, 4, (2, 12, 14), (1, 3, 5), (0, 1, 2))) == (
        "3 spatial axes: the FFT form is for one or two"
    )
    weight, bias = random_weights(spec)
    x = np.random.default_rng(1).standard_normal((2, 3, 1, 12, 14)).astype("f4")
    model = ir.to_proto(single_layer_model(FFT((8, 10)), spec, weight, bias)).SerializeToString()
    wanted = expected(spec, x, weight, bias)
    got = OnnxRuntime(model, threads=1).run({"x": x})["y"]
    assert np.abs(got - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@st.composite
def flat_convolutions(draw):
    """2-D convolutions with an axis that the kernel spans, of any place, groups, strides and dilations."""
    groups = draw(st.integers(1, 3))
    whole = draw(st.integers(1, 5))
    n, k, d = draw(st.integers(1, 30)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    pad = draw(st.integers(max(0, -(-(d * (k - 1) + 1 - n) // 2)), d * k))
    place = draw(st.integers(0, 1))

    def both(folded, other):
        return (folded, other) if place == 0 else (other, folded)

    return conv(
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        both(whole, n),
        both(whole, k),
        both(0, pad),
        both(1, d),
        both(draw(st.integers(1, 2)), draw(st.integers(1, 3))),
        groups,
        draw(st.booleans()),
    )


@given(spec=flat_convolutions(), data=st.data())
@settings(deadline=None, max_examples=60)
def test_every_lowering_of_a_flat_convolution(spec, data):
    assert len(folded_axes(spec)) == 1
    least = canonical(spec)
    assert least.rank == 1 and least.multiply_adds <= spec.multiply_adds
    weight, _ = random_weights(spec)
    assert canonical_weight(spec, weight).shape[:2] == (spec.out_channels, least.in_channels // spec.groups)
    for kind in LOWERINGS:
        if kind.refuses(spec) is None:
            variant = data.draw(st.sampled_from(list(kind.variants(spec))))
            assert error(variant, spec) <= TOLERANCE, variant.label
