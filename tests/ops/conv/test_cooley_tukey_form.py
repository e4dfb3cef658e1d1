"""The matrices of an FFT tile in two steps against the sum that defines a convolution."""

import numpy as np
import pytest

from dashdeploy.ops.conv.cooley_tukey_form import CooleyTukeyForm
from dashdeploy.ops.conv.fft_form import FFTForm


def convolved(form, x, w):
    """The outputs of a tile, step by step."""
    half, inner = form.outer // 2, form.inner
    z = form.outer_analysis @ x.reshape(form.outer, inner)
    spectra = form.inner_analysis @ z.reshape(half, 2 * inner, 1)
    products = spectra.reshape(form.products) * (form.tap_matrix @ w)
    u = form.inner_synthesis @ products.reshape(half, 3 * inner, 1)
    y = form.outer_synthesis @ u.reshape(form.outer, inner)
    assert y.size == form.rows >= form.outputs
    return y.reshape(-1)[: form.outputs]


@pytest.mark.parametrize(
    ("tile", "inner"), [(2, 1), (4, 2), (16, 1), (24, 4), (30, 5), (84, 6), (80, 4), (96, 8)]
)
def test_every_kernel_equals_the_definition(tile, inner):
    generator = np.random.default_rng(0)
    for taps in range(1, tile + 1):
        form = CooleyTukeyForm(tile, inner, taps, tile - taps + 1)
        x, w = generator.standard_normal(tile), generator.standard_normal(taps)
        np.testing.assert_allclose(convolved(form, x, w), np.correlate(x, w, "valid"), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("tile", "inner", "taps", "outputs"), [(24, 2, 7, 22), (48, 4, 15, 44), (30, 3, 9, 30)]
)
def test_zeros_beside_the_tile_allow_more_outputs(tile, inner, taps, outputs):
    form = CooleyTukeyForm(tile, inner, taps, outputs)
    assert form.margin == FFTForm(tile, taps, outputs).margin > 0
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal(tile), generator.standard_normal(taps)
    # What wraps around: rows from T on to the first rows, and rows before 2c to the last ones.
    x[: form.margin] = x[tile - form.margin :] = 0
    around = np.pad(x, form.margin)
    np.testing.assert_allclose(convolved(form, x, w), np.correlate(around, w, "valid"), rtol=0, atol=1e-12)


def test_a_number_takes_as_many_multiply_adds_as_the_docstring_says():
    form = CooleyTukeyForm(80, 4, 15, 66)
    there = form.outer_analysis.size * form.inner + form.inner_analysis.size
    assert there == 80 * (20 + 3 * 4)
    assert form.inner_synthesis.size == form.inner_analysis.size
    assert form.outer_synthesis.shape == (17, 20)
    assert form.products == 120


@pytest.mark.parametrize(
    ("tile", "inner", "taps", "outputs"), [(20, 4, 3, 18), (0, 1, 1, 0), (8, 2, 9, 0), (8, 2, 3, 7)]
)
def test_refuses_what_is_no_tile(tile, inner, taps, outputs):
    with pytest.raises(ValueError, match=r"tile"):
        CooleyTukeyForm(tile, inner, taps, outputs)
