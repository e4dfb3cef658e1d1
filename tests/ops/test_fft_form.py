"""The matrices of the FFT form, against the definition of the convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.ops.fft_form import FFTForm


@st.composite
def forms(draw):
    tile = 2 * draw(st.integers(1, 64))
    return FFTForm(tile, draw(st.integers(1, tile)))


@given(forms(), st.integers(0, 2**32 - 1))
def test_tile_equals_the_sliding_sum(form, seed):
    generator = np.random.default_rng(seed)
    x, w = generator.standard_normal(form.tile), generator.standard_normal(form.taps)
    upper, lower = x[form.half :], x[: form.half][::-1]
    xr = form.analysis_even @ (upper + lower)
    xi = form.analysis_odd @ (upper - lower)
    wr, wi = form.spectrum(w)
    p1, p2, p3 = (xr + xi) * wr, xr * (wi - wr), xi * (wr + wi)
    even, odd = form.synthesis_even @ (p1 - p3), form.synthesis_odd @ (p1 + p2)
    rows = np.concatenate([even + odd, even - odd])
    y = rows[form.mirrored_row(np.arange(form.outputs))]

    expected = np.correlate(x, w, mode="valid")
    # float64: the transforms are orthogonal up to scale, so rounding stays within a few hundred ulp.
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12 * form.tile)


def test_spectrum_keeps_the_leading_axes():
    form = FFTForm(16, 5)
    weight = np.random.default_rng(0).standard_normal((3, 2, 5))
    real, imaginary = form.spectrum(weight)
    assert real.shape == imaginary.shape == (8, 3, 2)
    one, _ = form.spectrum(weight[1, 0])
    np.testing.assert_allclose(real[:, 1, 0], one)


def test_multiply_adds_are_those_of_the_products():
    form = FFTForm(32, 11)  # H = 16, S = 22
    assert form.multiply_adds(4, 8) == 2 * 16 * 16 * 4 + 2 * 11 * 16 * 8 + 48 * 32


@pytest.mark.parametrize(("tile", "taps"), [(7, 3), (0, 1), (8, 0), (8, 9)])
def test_impossible_forms_are_refused(tile, taps):
    with pytest.raises(ValueError, match=r"tile length|taps"):
        FFTForm(tile, taps)
