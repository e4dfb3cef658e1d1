"""Trimming dead taps changes nothing, and trims what it can."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import live_taps, trim, trim_weight


def conv(spatial, kernel, dilations, begin, end, strides=(1,)):
    return ConvSpec(
        in_channels=2,
        out_channels=3,
        spatial=spatial,
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        pads_begin=begin,
        pads_end=end,
    )


def run(spec, weight, x):
    pads = [pad for both in zip(spec.pads_begin, spec.pads_end, strict=True) for pad in both]
    y = torch.nn.functional.conv1d(
        torch.nn.functional.pad(x, pads),
        torch.from_numpy(weight),
        stride=spec.strides,
        dilation=spec.dilations,
    )
    return y.numpy()


@given(
    n=st.integers(1, 40),
    k=st.integers(1, 15),
    d=st.integers(1, 20),
    s=st.integers(1, 3),
    before=st.integers(0, 200),
    after=st.integers(0, 200),
)
@settings(deadline=None)
def test_trimmed_convolution_is_the_same(n, k, d, s, before, after):
    if n + before + after < d * (k - 1) + 1:
        return
    spec = conv((n,), (k,), (d,), (before,), (after,), (s,))
    generator = np.random.default_rng(0)
    weight, x = generator.standard_normal((3, 2, k)), torch.from_numpy(generator.standard_normal((2, 2, n)))
    trimmed = trim(spec)
    assert trimmed.out_spatial == spec.out_spatial
    assert min(trimmed.pads_begin + trimmed.pads_end) >= 0
    # The sums have the same terms but for exact zeros.
    np.testing.assert_allclose(
        run(trimmed, trim_weight(spec, weight), x), run(spec, weight, x), rtol=0, atol=1e-12
    )


def test_five_of_nine_taps_are_alive():
    spec = conv((32, 32), (9, 9), (15, 1), (60, 4), (60, 4), (1, 1))
    assert live_taps(spec) == (slice(2, 7), slice(0, 9))
    assert trim(spec).kernel == (5, 9)
    assert trim(spec).pads_begin == (30, 4)


def test_one_tap_needs_no_dilation():
    assert trim(conv((8,), (3,), (127,), (127,), (127,))).kernel == (1,)
    assert trim(conv((8,), (3,), (127,), (127,), (127,))).dilations == (1,)
    assert trim(conv((8,), (1,), (5,), (0,), (0,))).dilations == (1,)


def test_a_living_kernel_is_left_alone():
    spec = conv((100,), (7,), (3,), (9,), (9,))
    assert trim(spec) == spec
