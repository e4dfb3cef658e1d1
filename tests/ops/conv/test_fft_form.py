"""The matrices of the FFT form, against the definition of the convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.ops.conv.fft_form import FFTForm


@st.composite
def forms(draw):
    tile = 2 * draw(st.integers(1, 64))
    return FFTForm.valid(tile, draw(st.integers(1, tile)))


def convolve(form, x, w):
    """The outputs of one tile, step by step as the module's docstring has them."""
    upper, lower = x[form.half :], x[: form.half][::-1]
    xr, xi = form.cosines @ (upper + lower), -form.sines @ (upper - lower)
    wr, wi = form.tap_cosines @ w, form.tap_sines @ w
    p1, p2, p3 = (xr + xi) * wr, xr * (wi - wr), xi * (wr + wi)
    even, odd = form.synthesis_cosines @ (p1 - p3), -form.synthesis_sines @ (p1 + p2)
    assert len(even) == form.mirrored
    rows = np.concatenate([even + odd, even - odd])
    return rows[form.mirrored_row(np.arange(form.outputs))]


@given(forms(), st.integers(0, 2**32 - 1))
def test_tile_equals_the_sliding_sum(form, seed):
    generator = np.random.default_rng(seed)
    x, w = generator.standard_normal(form.tile), generator.standard_normal(form.taps)
    # float64: the transforms are orthogonal up to scale, so rounding stays within a few hundred ulp.
    np.testing.assert_allclose(
        convolve(form, x, w), np.correlate(x, w, "valid"), rtol=0, atol=1e-12 * form.tile
    )


@given(st.integers(1, 40), st.integers(0, 15), st.integers(0, 2**32 - 1))
def test_zeros_around_the_input_allow_more_outputs(length, reach, seed):
    taps = 2 * reach + 1  # 'same' padding: `reach` zeros on either side of the input
    margin = reach // 2
    tile = length + taps - 1 - 2 * margin
    if tile % 2 or tile < taps:
        return
    generator = np.random.default_rng(seed)
    padded, w = np.pad(generator.standard_normal(length), reach), generator.standard_normal(taps)
    form = FFTForm(tile, taps, length)
    assert form.margin == margin
    got = convolve(form, padded[margin : margin + tile], w)
    np.testing.assert_allclose(got, np.correlate(padded, w, "valid"), rtol=0, atol=1e-12 * tile)


def test_outputs_of_the_wrong_parity_are_refused():
    with pytest.raises(ValueError, match="7 outputs do not fit 3 taps on a tile of 8"):
        FFTForm(8, 3, 7)


@pytest.mark.parametrize(("tile", "taps"), [(7, 3), (0, 1), (8, 0), (8, 9)])
def test_impossible_forms_are_refused(tile, taps):
    with pytest.raises(ValueError, match=r"tile length|taps"):
        FFTForm.valid(tile, taps)
