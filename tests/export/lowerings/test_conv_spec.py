"""A ConvSpec's output sizes and arithmetic, against PyTorch."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from dashdeploy.export.lowerings.conv_spec import ConvSpec


def conv(**changes):
    values = {
        "in_channels": 64,
        "out_channels": 128,
        "spatial": (1000,),
        "kernel": (7,),
        "strides": (1,),
        "dilations": (3,),
        "pads_begin": (9,),
        "pads_end": (9,),
    }
    return ConvSpec(**values | changes)


axis = st.tuples(*(st.integers(1, top) for top in (40, 9, 4, 5)), st.integers(0, 12), st.integers(0, 12))


@given(st.lists(axis, min_size=1, max_size=2))
def test_output_extents_are_pytorchs(axes):
    n, k, s, d, lo, hi = zip(*axes, strict=True)
    assume(all(a + b + c >= e * (f - 1) + 1 for a, b, c, e, f in zip(n, lo, hi, d, k, strict=True)))
    spec = conv(
        in_channels=1,
        out_channels=1,
        spatial=n,
        kernel=k,
        strides=s,
        dilations=d,
        pads_begin=lo,
        pads_end=hi,
    )
    flat = [pad for pair in reversed(list(zip(lo, hi, strict=True))) for pad in pair]
    x = torch.nn.functional.pad(torch.zeros(1, 1, *n), flat)
    convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d}[len(axes)]
    assert spec.out_spatial == convolve(x, torch.zeros(1, 1, *k), stride=s, dilation=d).shape[2:]
    assert spec.rank == len(axes)


def test_multiply_adds_follow_the_definition():
    # 1000 outputs, each of 128 channels a sum over 64 channels and 7 taps.
    assert conv().multiply_adds == 1000 * 128 * 64 * 7
    assert conv(groups=8).multiply_adds == 1000 * 128 * 8 * 7
    square = conv(
        spatial=(32, 16),
        kernel=(3, 5),
        strides=(2, 1),
        dilations=(1, 1),
        pads_begin=(1, 2),
        pads_end=(1, 2),
    )
    assert square.out_spatial == (16, 16)
    assert square.multiply_adds == 256 * 128 * 64 * 15


CHANGES = [
    {"in_channels": 32},
    {"out_channels": 64},
    {"groups": 2},
    {"spatial": (1001,)},
    {"kernel": (8,)},
    {"strides": (2,)},
    {"dilations": (1,)},
    {"pads_begin": (8,)},
    {"pads_end": (8,)},
    {"bias": False},
    {"dtype": "float64"},
    {"batch": 8},
]


def test_equal_convolutions_and_no_others_share_a_signature():
    assert conv().signature == conv().signature
    assert conv().signature == ConvSpec.model_validate_json(conv().model_dump_json()).signature
    signatures = {conv(**change).signature for change in CHANGES}
    assert {next(iter(change)) for change in CHANGES} == set(ConvSpec.model_fields)
    assert len(signatures) == len(CHANGES)
    assert conv().signature not in signatures


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "64 -> 128, k 7, d 3, n 1000"),
        ({"dilations": (1,)}, "64 -> 128, k 7, n 1000"),
        ({"strides": (2,), "groups": 4}, "64 -> 128, k 7, d 3, stride 2, groups 4, n 1000"),
        (
            {
                "spatial": (32, 16),
                "kernel": (3, 5),
                "strides": (1, 1),
                "dilations": (1, 2),
                "pads_begin": (1, 4),
                "pads_end": (1, 4),
            },
            "64 -> 128, k 3x5, d 1x2, n 32x16",
        ),
    ],
)
def test_reads_as_a_line(changes, line):
    assert str(conv(**changes)) == line


def test_is_immutable_and_knows_its_fields():
    with pytest.raises(ValidationError):
        conv().groups = 2
    with pytest.raises(ValidationError):
        conv(padding=(1,))


def test_a_changed_copy_has_its_own_output():
    spec = conv()
    assert spec.out_spatial  # computed once already
    longer = spec.model_copy(update={"spatial": (spec.spatial[0] + 7,)})
    assert longer.out_spatial == conv(spatial=longer.spatial).out_spatial != spec.out_spatial
