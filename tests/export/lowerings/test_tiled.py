"""The FFT and Toom-Cook lowerings run by ONNX Runtime, against PyTorch's convolution in float64."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.tiling import TiledAxis
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.targets.single_layer import random_weights, single_layer_model
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.convolutions import conv, convolutions, reference, typical_size

TOLERANCE = 1.2e-5
"""Of the typical size of an output, in float32: the transforms add about one decimal digit to a direct sum's error.

Where there are many outputs the largest is three to four times that. Of 3300 random ones the worst was 6.9e-6.
"""


def largest_error(lowering, spec, batch, damage=None):
    """The largest error of an output, as a share of the `typical_size` of the largest one.

    Args:
        lowering: how it is computed.
        spec: the convolution.
        batch: samples.
        damage: changes the taps that it is computed with, but not those of the reference.
    """
    weight, bias = random_weights(spec)
    x = np.random.default_rng(1).standard_normal((batch, spec.in_channels, *spec.spatial)).astype("f4")
    given = weight.copy()
    if damage is not None:
        damage(given)
    model = ir.to_proto(single_layer_model(lowering, spec, given, bias)).SerializeToString()
    y = OnnxRuntime(model, threads=1).run({"x": x})["y"]
    expected = reference(spec, x, weight, bias)
    assert y.shape == expected.shape
    # Where all reads padding, all must be zero.
    return np.abs(y - expected).max() / (typical_size(spec, x, weight, bias) or 1e-30)


one_axis = convolutions(1, 48, longest=2000, widest_kernel=31, widest_dilation=127, widest_stride=1)
strided = convolutions(1, 16, longest=300, widest_kernel=15, widest_dilation=9, widest_stride=4)
two_axes = convolutions(2, 16, longest=64, widest_kernel=17, widest_dilation=40, widest_stride=4)


@given(one_axis, st.integers(1, 5), st.data())
@settings(max_examples=60, deadline=None)
@example(conv(3, 5, 40, 31, 127, 1905), 2, None)  # the field is far wider than the signal
@example(conv(6, 4, 50, 4, 3, [(0, 9)], groups=2), 3, None)  # even taps, causal the other way round
@example(conv(1, 1, 8, 1), 1, None)
@example(conv(48, 48, 2000, 31, 1, 15), 5, None)
def test_one_axis_agrees_with_pytorch(spec, batch, data):
    check(spec, batch, data)


@given(strided, st.integers(1, 3), st.data())
@settings(max_examples=40, deadline=None)
@example(conv(4, 6, 101, 7, 2, 6, groups=2, strides=3), 2, None)
@example(conv(4, 6, 50, 1, strides=2), 2, None)  # splits whose taps are all zero
def test_strides_agree_with_pytorch(spec, batch, data):
    check(spec, batch, data)


@given(two_axes, st.integers(1, 3), st.data())
@settings(max_examples=60, deadline=None)
@example(conv(8, 8, (32, 32), 9, 7, 28), 2, None)  # one tile per phase, in need of the padding's zeros
@example(conv(8, 6, (33, 20), (3, 4), (2, 3), [(1, 2), (4, 2)], groups=2, strides=(2, 3)), 3, None)
@example(conv(4, 4, (28, 28), (1, 7), 1, [(0, 0), (3, 3)]), 1, None)
def test_two_axes_agree_with_pytorch(spec, batch, data):
    check(spec, batch, data)


def check(spec, batch, data):
    assert FFT.refuses(spec) is None
    for kind in (FFT, ToomCook, CooleyTukey):
        if kind.refuses(spec) is None:
            variants = kind.variants(spec)
            lowering = variants[-1] if data is None else data.draw(st.sampled_from(variants))
            assert largest_error(lowering, spec, batch) <= TOLERANCE
            assert largest_error(replace(lowering, product_form="taps first"), spec, batch) <= TOLERANCE
            if spec.groups == 1 and kind is not CooleyTukey:
                # For other numbers of channels than the planner offers it for, too.
                assert largest_error(replace(lowering, product_form="grouped"), spec, batch) <= TOLERANCE


@pytest.mark.parametrize(
    ("tile", "columns", "tables"),
    [((16, 16), 16, 6), ((24, 24), 4, 4), ((36, 36), 1, 4)],
)
def test_few_tiles_have_two_tables_for_a_pattern_instead_of_three(tile, columns, tables):
    spec, lowering = conv(8, 16, (32, 32), 9, 1, 4), FFT(tile, product_form="grouped")
    assert [tiling.columns for tiling in lowering.tilings(spec)] == [columns**0.5] * 2
    model = single_layer_model(lowering, spec, *random_weights(spec))
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("Conv") == tables
    assert largest_error(lowering, spec, batch=3) <= TOLERANCE
    plain, three = FFT(tile).multiply_adds(spec), columns * 3 * 2 * tile[0] * tile[1] // 4 * 8 * 16
    assert lowering.multiply_adds(spec) - plain == (three // 3 if tables == 4 else 0)


@pytest.mark.parametrize(
    ("spec", "possible"),
    [
        (conv(16, 32, 300, 7, 1, 3), True),
        (conv(8, 8, (1, 300), (1, 7), 1, [(0, 0), (3, 3)]), True),
        (conv(4, 8, 301, 7, 1, 3, strides=2), True),  # the splits of a stride are channels
        (conv(100, 100, 300, 7, 1, 3), False),
        (conv(16, 32, 300, 7, 1, 3, groups=2), False),
        (conv(16, 32, 300, 7, 1, 3).model_copy(update={"dtype": "float64"}), False),
    ],
)
def test_products_are_grouped_for_whole_blocks_of_channels(spec, possible):
    for plain in (FFT((16,)), ToomCook((12,))):
        grouped = plain.with_products("grouped", spec)
        assert (grouped is not None) == possible
        if grouped is not None:
            assert grouped.label == plain.label.replace(")", ", grouped)")
            assert grouped.bytes_moved(spec) < plain.bytes_moved(spec)
    assert Direct().with_products("grouped", spec) is None


@pytest.mark.parametrize("plain", [FFT((24,)), ToomCook((12,)), CooleyTukey((24,), inner=2)])
def test_the_taps_may_come_first_whatever_the_channels(plain):
    spec = conv(100, 36, 300, 7, 1, 3, groups=4)
    first = plain.with_products("taps first", spec)
    assert first.label == plain.label.replace(")", ", taps first)")
    assert first.bytes_moved(spec) < plain.bytes_moved(spec)
    assert first.multiply_adds(spec) == plain.multiply_adds(spec)
    model = single_layer_model(first, spec, *random_weights(spec))
    products = [node for node in model.graph if str(node.name).rpartition("/")[2].startswith("product")]
    sides = [node.inputs for node in products if node.op_type == "MatMul"]
    assert sides
    for left, right in sides:
        assert "taps" in left.name
        assert right.producer().op_type == "Transpose"


def test_idle_columns_are_those_of_blocks_that_are_not_full():
    spec = conv(32, 100, 300, 9, 1, 4).model_copy(update={"batch": 2})
    plain = FFT((28,))  # 20 outputs a tile: 15 tiles, 42 products
    assert plain.products(spec) == 42
    assert plain.idle_multiply_adds(spec, 16) == 42 * 32 * 30 * 12
    assert replace(plain, product_form="taps first").idle_multiply_adds(spec, 16) == 42 * 32 * 100 * 2
    assert replace(plain, product_form="taps first").idle_multiply_adds(spec, 15) == 0
    assert replace(plain, product_form="grouped").idle_multiply_adds(spec, 16) == 0
    assert Direct().idle_multiply_adds(spec, 16) == 0


def test_a_tile_in_two_steps_takes_few_operators():
    """A gather, five products without an addition in between, the bias, and a gather."""
    spec, lowering = conv(8, 12, 300, 9, 2, 8), CooleyTukey((48,), inner=4)
    model = single_layer_model(lowering, spec, *random_weights(spec))
    kinds = [node.op_type for node in model.graph if "taps" not in node.name and node.op_type != "Reshape"]
    expected = ["Transpose", "Pad", "Gather", *["MatMul"] * 5, "Expand", "Add", "Gather", "Transpose"]
    assert kinds == expected
    form = lowering.form(spec)
    assert (form.outer, form.products, form.outputs, form.rows) == (12, 72, 40, 40)
    per_tile = 48 * (12 + 12) * 8 + 72 * 8 * 12 + (40 * 12 + 48 * 12) * 12
    assert lowering.multiply_adds(spec) == 8 * per_tile
    assert CooleyTukey.refuses(conv(4, 4, (9, 9), 3)) == "2 spatial axes: FFTs in two steps are for one"
    assert lowering.with_products("grouped", spec) is None


def test_tiles_in_two_steps_fit_the_phase():
    spec = conv(8, 8, 1000, 15, 3, 21)
    found = [(*each.tile, each.inner) for each in CooleyTukey.variants(spec)]
    assert all(tile % (2 * inner) == 0 and tile < 256 + 2 * inner for tile, inner in found)
    assert {(48, 4), (84, 6), (36, 3)} <= set(found)  # 34, 67 and 22 outputs: 10, 5 and 16 tiles of a phase
    assert len(found) == len(set(found))
    assert CooleyTukey.variants(conv(1, 1, 2000, 700))[0].tile[0] >= 700


@pytest.mark.parametrize("tile", [12, 16, 30, 64, 512])
def test_every_tile_length_gives_the_same(tile):
    assert largest_error(FFT((tile,)), conv(8, 12, 300, 9, 2, 8), batch=2) <= TOLERANCE


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("spec", "lowering"),
    [
        (conv(48, 48, 2000, 31, 1, 15), FFT((96,))),
        (conv(48, 48, 600, 7, 1, 3), ToomCook((16,))),
        (conv(16, 16, (32, 32), 7, 2, 6), FFT((14, 14))),
        (conv(1, 1, 22, 22), ToomCook((24,))),  # one output, which nearly cancels
        (conv(48, 48, 600, 7, 1, 3), ToomCook((16,), product_form="grouped")),
        (conv(16, 16, (16, 16), 7, 1, 3), FFT((20, 20), product_form="grouped")),
    ],
)
def test_the_tolerance_tells_one_tap_and_one_tile(spec, lowering, bias, monkeypatch):
    spec = spec.model_copy(update={"bias": bias})
    whole = largest_error(lowering, spec, batch=1)
    assert whole <= TOLERANCE
    smallest = np.argsort(np.abs(random_weights(spec)[0]).ravel())

    def without_a_tap(weight):
        weight.ravel()[smallest[weight.size // 4]] = 0  # three of four are larger

    assert largest_error(lowering, spec, 1, without_a_tap) > 20 * TOLERANCE

    steps = TiledAxis.steps

    def with_a_wrong_row(tiling):
        rows = steps(tiling)
        rows[len(rows) // 2, 0] += 1
        return rows

    monkeypatch.setattr(TiledAxis, "steps", with_a_wrong_row)
    assert largest_error(lowering, spec, 1) > 20 * TOLERANCE


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (conv(4, 4, 8, 9, 2), "no output"),
        (conv(4, 4, (8, 8, 8), 3), "3 spatial axes"),
        (conv(4, 4, 100, 3).model_copy(update={"dtype": "float16"}), "float16"),
        (conv(4, 4, 100, 3, pads=[(-1, 0)]), "negative padding"),
    ],
)
def test_refuses_with_a_reason(spec, reason):
    assert reason in FFT.refuses(spec)
    assert reason in ToomCook.refuses(spec)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (conv(4, 4, 100, 1), "one tap"),
        (conv(4, 4, 100, 33, pads=16), "no tile is longer"),
        (conv(4, 4, (20, 20), (1, 7), pads=[(0, 0), (3, 3)]), "along an axis"),
    ],
)
def test_toom_cook_is_for_short_kernels(spec, reason):
    assert reason in ToomCook.refuses(spec)


@pytest.mark.parametrize(("kernel", "tile"), [(3, 8), (5, 10), (7, 16), (11, 24)])
def test_toom_cook_needs_fewer_products(kernel, tile):
    spec = conv(1024, 1024, 1000, kernel, pads=kernel // 2)  # so wide that the transforms hardly count
    assert ToomCook((tile,)).multiply_adds(spec) < FFT((tile,)).multiply_adds(spec)


def test_variants_reach_from_the_taps_to_the_whole_phase():
    tiles = [variant.tile for variant in FFT.variants(conv(128, 128, 1000, 15, 3, 21))]
    # A phase of 334 positions is longer than any tile.
    assert tiles == [(t,) for t in (16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256)]
    # 20 positions and 4 more for the field are 24; the two zeros on either side save two of them.
    assert [variant.tile for variant in FFT.variants(conv(4, 4, 20, 5, 1, 2))] == [(8,), (16,), (22,)]


def test_zeros_of_the_padding_shorten_the_whole_tile():
    # 32 / 7 is a phase of 5; 9 taps would need 14, but 4 zeros on either side allow 10.
    tiles = {variant.tile[0] for variant in FFT.variants(conv(8, 8, (32, 32), 9, 7, 28))}
    assert tiles == {10}
    # Causal padding has its zeros on one side, which is of no use.
    assert FFT.variants(conv(8, 8, 20, 9, 1, [(8, 0)]))[-1].tile == (28,)


def test_multiply_adds_are_those_of_the_operators():
    spec = conv(128, 96, 1000, 15, 3, 21)
    # T = 48 gives S = 34 outputs: ceil(334 / 34) = 10 tiles in each of 3 phases.
    transforms = 2 * 24 * 24 * 128 + 2 * 17 * 24 * 96
    assert FFT((48,)).multiply_adds(spec) == 30 * (transforms + 72 * 128 * 96)
    assert FFT((48,)).multiply_adds(spec) < spec.multiply_adds / 5


def test_multiply_adds_in_two_dimensions():
    spec = conv(64, 32, (32, 32), 7, 1, 3)
    # T = 14 gives S = 8: 4 x 4 tiles, 2 * 7 * 7 complex frequencies of three products each.
    analysis = 4 * (7 * 7 * 7 + 7 * 7 * 7) * 64
    synthesis = 4 * (7 * 4 * 4 + 7 * 7 * 4) * 32
    assert FFT((14, 14)).multiply_adds(spec) == 16 * (analysis + synthesis + 3 * 98 * 64 * 32)


@given(one_axis)
@settings(max_examples=60, deadline=None)
@example(conv(100, 100, 784, 7, 128, [(768, 0)]))
def test_every_tile_has_an_output(spec):
    for kind in (FFT, ToomCook):
        for lowering in kind.variants(spec) if kind.refuses(spec) is None else ():
            (tiling,) = lowering.tilings(spec)
            assert set(tiling.output_places()[1]) == set(range(tiling.columns))


def test_shorter_phases_have_fewer_tiles():
    # 784 positions are 16 phases of 7 and 112 of 6, and 12 positions with 7 taps give 6 outputs.
    (tiling,) = ToomCook((12,)).tilings(conv(100, 100, 784, 7, 128, [(768, 0)]))
    assert tiling.columns == 128 + 16
