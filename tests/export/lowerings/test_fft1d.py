"""The FFT lowering run by ONNX Runtime, against PyTorch's convolution in float64."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashdeploy.export.conv_spec import ConvSpec
from dashdeploy.export.lowerings import FFT1d
from dashdeploy.export.single_layer import random_weights, single_layer_model
from dashdeploy.runtimes import OnnxRuntime

TOLERANCE = 5e-6
"""Of the largest output, in float32: the transforms add about a decimal digit to a direct sum's rounding."""


def conv(cin, cout, length, k, d=1, pads=(0, 0), groups=1, stride=1):
    return ConvSpec(
        in_channels=cin,
        out_channels=cout,
        groups=groups,
        spatial=(length,),
        kernel=(k,),
        strides=(stride,),
        dilations=(d,),
        pads_begin=(pads[0],),
        pads_end=(pads[1],),
    )


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 4))
    cin = groups * draw(st.integers(1, 48 // groups))
    cout = groups * draw(st.integers(1, 48 // groups))
    k, d, length = draw(st.integers(1, 31)), draw(st.integers(1, 127)), draw(st.integers(8, 2000))
    field = d * (k - 1)
    missing = max(0, field + 1 - length)  # the least padding that leaves one output
    before = draw(st.integers(0, field + 5))
    after = draw(st.integers(max(0, missing - before), max(missing, field) + 5))
    return conv(cin, cout, length, k, d, (before, after), groups)


def largest_relative_error(lowering, spec, batch, seed=0):
    weight, bias = random_weights(spec, seed)
    x = np.random.default_rng(seed + 1).standard_normal((batch, spec.in_channels, *spec.spatial)).astype("f4")
    model = ir.to_proto(single_layer_model(lowering, spec, weight, bias)).SerializeToString()
    y = OnnxRuntime(model, threads=1).run({"x": x})["y"]
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (*spec.pads_begin, *spec.pads_end))
    expected = torch.nn.functional.conv1d(
        padded,
        torch.from_numpy(weight).double(),
        torch.from_numpy(bias).double(),
        dilation=spec.dilations,
        groups=spec.groups,
    ).numpy()
    assert y.shape == expected.shape
    return np.abs(y - expected).max() / np.abs(expected).max()


@given(convolutions(), st.integers(1, 5), st.data())
@settings(max_examples=60, deadline=None)
@example(conv(3, 5, 40, 31, 127, (1905, 1905)), 2, None)  # the field is far wider than the signal
@example(conv(6, 4, 50, 4, 3, (0, 9), groups=2), 3, None)  # even taps, causal the other way round
@example(conv(1, 1, 8, 1), 1, None)
@example(conv(48, 48, 2000, 31, 1, (15, 15)), 5, None)
def test_agrees_with_pytorch(spec, batch, data):
    assert FFT1d.refuses(spec) is None
    variants = FFT1d.variants(spec)
    lowering = variants[0] if data is None else data.draw(st.sampled_from(variants))
    assert largest_relative_error(lowering, spec, batch) <= TOLERANCE


@pytest.mark.parametrize("tile", [12, 16, 30, 64, 512])
def test_every_tile_length_gives_the_same(tile):
    assert largest_relative_error(FFT1d(tile), conv(8, 12, 300, 9, 2, (8, 8)), batch=2) <= TOLERANCE


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (conv(4, 4, 100, 3, stride=2), "stride 2"),
        (conv(4, 4, 8, 9, 2), "no output"),
        (conv(4, 4, 100, 3).model_copy(update={"dtype": "float16"}), "float16"),
    ],
)
def test_refuses_with_a_reason(spec, reason):
    assert reason in FFT1d.refuses(spec)


def test_variants_reach_from_the_taps_to_the_whole_phase():
    tiles = [variant.tile for variant in FFT1d.variants(conv(128, 128, 1000, 15, 3, (21, 21)))]
    # 334 positions per phase and 14 more for the field: 348 is one whole tile, longer than any that is tiled.
    assert tiles == [16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256]
    assert [variant.tile for variant in FFT1d.variants(conv(4, 4, 20, 5, 1, (2, 2)))] == [8, 16, 24]


def test_arithmetic_is_a_fraction_of_direct():
    spec = conv(128, 128, 1000, 15, 3, (21, 21))
    # T = 48 gives S = 34 outputs: ceil(334 / 34) = 10 tiles in each of 3 phases.
    transforms = 2 * 24 * 24 * 128 + 2 * 17 * 24 * 128
    assert FFT1d(48).multiply_adds(spec) == 30 * (transforms + 72 * 128 * 128)
    assert FFT1d(48).multiply_adds(spec) < spec.multiply_adds / 5
