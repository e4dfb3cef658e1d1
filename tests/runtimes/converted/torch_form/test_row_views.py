"""Rows by views against NumPy's own gather."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.runtimes.converted.torch_form.delegated import has_slices, rows_by_slices
from dashdeploy.runtimes.converted.torch_form.row_views import row_views


def agrees(indices, rows):
    views = row_views(np.asarray(indices), rows)
    if views is None:
        return False
    x = torch.randn(rows, 2, 3)
    assert torch.equal(views.of(x), x[torch.as_tensor(np.asarray(indices))])
    if has_slices(views):
        assert torch.equal(rows_by_slices(views, x), x[torch.as_tensor(np.asarray(indices))])
    # A permuted tensor has other strides than those that the views count in.
    assert torch.equal(views.of(x.permute(0, 2, 1)), x.permute(0, 2, 1)[torch.as_tensor(np.asarray(indices))])
    return True


@pytest.mark.parametrize(
    "indices",
    [
        [3, 4, 5],
        [7, 5, 3, 1],
        [0, 1, 4, 5, 8, 9],  # two axes
        [4, 5, 2, 3, 0, 1],  # one of them backwards
        [0, 1, 4, 5, 8],  # the last tile is cut off
        [2, 1, 0, 3, 4, 7, 6, 5, 8, 9],  # backwards, then forwards, in each of two tiles
        [0, 0, 1, 1, 2, 2],
        [5, 5],
    ],
)
def test_patterns_are_found(indices):
    assert agrees(indices, 12)


def test_a_pattern_that_leaves_the_tensor_is_none():
    assert row_views(np.array([0, 1, 4, 5, 8]), 9) is None  # the sixth row of the pattern would be 9


def test_no_pattern_is_none():
    assert row_views(np.random.default_rng(0).permutation(200), 200) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=12))
def test_any_indices_give_their_rows_or_none(indices):
    agrees(indices, 31)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-5, 5)), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_every_lattice_is_found(axes, cut):
    rows = np.zeros(1, dtype=np.int64)
    for size, step in axes:
        rows = (rows[:, None] + step * np.arange(size)).ravel()
    rows -= rows.min()
    extent = int(rows.max()) + 1
    rows = rows[: len(rows) - cut] if len(rows) > cut + 1 else rows
    if len(rows) > 1 and extent > 1:
        agrees(rows, extent)


def test_tiles_of_a_dilated_fft_convolution_are_views():
    """What the compiler writes for 1000 positions, 15 taps and dilation 3: forwards, mirrored, and back in order."""
    lower = (60 + 78 * np.arange(13)[:, None] + np.arange(3)).ravel()
    tiles = (3 * np.arange(20)[:, None] + lower).ravel()
    assert agrees(tiles, 1056) and agrees(tiles[::-1].copy(), 1056)
