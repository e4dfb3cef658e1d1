"""Values of options that are more than one word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.cli.options.values import height_and_width, input_shapes, positive_integers
from dashdeploy.errors import InputError


@given(st.lists(st.integers(1, 10**6), min_size=1, unique=True))
def test_good_lists(values):
    assert positive_integers("--x", ",".join(map(str, values)), noun="value") == values


def test_input_shapes():
    assert input_shapes("--input-shape", ["x=1,1,1000", "mask=4"]) == {"x": (1, 1, 1000), "mask": (4,)}
    for bad in ("x", "x=", "=1", "x=1,0", "x=1,a", "x=1,"):
        with pytest.raises(InputError, match="not a shape"):
            input_shapes("--input-shape", [bad])
    with pytest.raises(InputError, match="x comes twice"):
        input_shapes("--input-shape", ["x=1", "x=2"])


def test_sizes_of_images():
    assert height_and_width("--image-size", "64x48") == (64, 48)
    assert height_and_width("--image-size", "32") == (32, 32)
    for bad in ("", "x", "0x4", "4x0", "4x", "4x4x4", "-3", "4,4", "a", "999999"):
        with pytest.raises(InputError, match="not a size; write height and width in pixels"):
            height_and_width("--image-size", bad)
