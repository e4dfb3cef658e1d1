"""The matrices of a Toom-Cook tile against the sum that defines a convolution."""

import numpy as np
import pytest

from dashdeploy.ops.conv.toom_cook_form import ToomCookForm


@pytest.mark.parametrize("accurate", [False, True])
@pytest.mark.parametrize("tile", [2, 4, 6, 8, 10, 16, 24, 32])
def test_every_tile_and_kernel_equals_the_definition(tile, accurate):
    generator = np.random.default_rng(0)
    if accurate and tile > 16:
        pytest.skip("powers of 2 in place of 3/2 are for short tiles")
    for taps in range(1, tile + 1):
        form = ToomCookForm(tile, taps, accurate)
        x, w = generator.standard_normal(tile), generator.standard_normal(taps)
        y = form.synthesis @ ((form.tap_matrix @ w) * (form.analysis @ x))
        assert y.shape == (form.outputs,)
        assert form.analysis.shape == (form.products, tile)
        # Double precision, though the condition of the Vandermonde matrices would cost five of its 16 digits.
        np.testing.assert_allclose(y, np.correlate(x, w, "valid"), rtol=0, atol=1e-13)


def test_real_points_save_products():
    assert [ToomCookForm(tile, 3).products for tile in (4, 6, 8, 10, 16)] == [4, 6, 8, 11, 20]
    assert ToomCookForm(8, 3, accurate=True).products == 9


@pytest.mark.parametrize(("tile", "taps"), [(7, 3), (0, 1), (8, 9), (8, 0)])
def test_refuses_what_is_no_tile(tile, taps):
    with pytest.raises(ValueError, match=r"tile|taps"):
        ToomCookForm(tile, taps)
