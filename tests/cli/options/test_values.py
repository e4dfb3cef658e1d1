"""Values of options that are more than one word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.cli.options.values import byte_size, height_and_width, input_shapes, positive_integers
from dashdeploy.errors import InputError


@given(st.lists(st.integers(1, 10**6), min_size=1, unique=True))
def test_good_lists(values):
    assert positive_integers("--x", ",".join(map(str, values)), noun="value") == values


def test_input_shapes():
    assert input_shapes("--input-shape", ["x=1,1,1000", "mask=4"]) == {"x": (1, 1, 1000), "mask": (4,)}
    for bad in ("x", "x=", "=1", "x=1,0", "x=1,a", "x=1,"):
        with pytest.raises(InputError, match="not a shape"):
            input_shapes("--input-shape", [bad])
    with pytest.raises(InputError, match="x appears twice"):
        input_shapes("--input-shape", ["x=1", "x=2"])


def test_sizes_of_images():
    assert height_and_width("--image-size", "64x48") == (64, 48)
    assert height_and_width("--image-size", "32") == (32, 32)
    for bad in ("", "x", "0x4", "4x0", "4x", "4x4x4", "-3", "4,4", "a", "999999"):
        with pytest.raises(InputError, match="not a size; write height and width in pixels"):
            height_and_width("--image-size", bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4G", 2**32), ("512M", 2**29), ("1.5g", 3 * 2**29), ("2 GiB", 2**31), ("1000", 1000), ("8KB", 2**13)],
)
def test_amounts_of_memory(text, expected):
    assert byte_size("--memory", text) == expected


@pytest.mark.parametrize("text", ["", "4X", "-1G", "0", "G", "4G5"])
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(InputError, match=r"--memory .*: not an amount of memory; .* such as --memory 4G"):
        byte_size("--memory", text)
