"""The native kernels against PyTorch's convolution in float64, with every instruction set that this machine has."""

import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.lowerings.dead_taps import trim, trim_weight
from dashdeploy.export.native.candidates import packed_share, plain, refuses, tiles
from dashdeploy.export.native.layer_costs import geometry_of
from dashdeploy.export.passes.native_fusion import NativeChoice
from dashdeploy.export.targets.single_layer import random_weights
from dashdeploy.runtimes.native.library import instruction_sets
from dashdeploy.runtimes.native.program import Activation, Program
from dashdeploy.runtimes.native.shapes import plane
from tests.export.convolutions import conv, convolutions, reference, typical_size

TOLERANCE = 6e-6
"""Of the typical size of the largest output, as in test_tiled.py of the lowerings. Where there are many outputs the
largest is three to four times that."""

try:
    INSTRUCTIONS = instruction_sets()
except MissingCapabilityError:
    INSTRUCTIONS = []

FUSED = (None, Activation.NONE, Activation.RELU, Activation.RELU_SUM, Activation.RELU_SUM_RELU)
"""None is a convolution without a sum."""

EXAMPLES = int(os.environ.get("DASHDEPLOY_FUZZ_EXAMPLES", "60"))


def rows_first(array):
    """[B, C, *spatial] to contiguous [B, *spatial, C]."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def native(spec, choice, x, weight, bias, *, instructions, threads=1, added=None, activation=Activation.NONE):
    living = trim(spec)
    program = Program(threads, instructions)
    size, out = plane(living.spatial), plane(living.out_spatial)
    given = program.buffer(size[0] * size[1], living.in_channels)
    result = program.buffer(out[0] * out[1], living.out_channels)
    program.input(given)
    arrays, summed = [rows_first(x)], None
    if added is not None:
        summed = program.buffer(out[0] * out[1], living.out_channels)
        program.input(summed)
        arrays.append(rows_first(added))
    taps = trim_weight(spec, weight)
    program.conv(geometry_of(living, choice), taps, bias, given, result, added=summed, activation=activation)
    program.output(result, out[0] * out[1] * living.out_channels)
    program.ready()
    (y,) = program.run(len(x), arrays)
    return np.moveaxis(y.reshape(len(x), *living.out_spatial, living.out_channels), -1, 1)


def applied(activation, value, added):
    """What a kernel makes of a convolution's result."""
    if activation in (Activation.RELU_SUM, Activation.RELU_SUM_RELU):
        value = np.maximum(value, 0)
    value = value + added
    return np.maximum(value, 0) if activation in (Activation.RELU, Activation.RELU_SUM_RELU) else value


def largest_error(spec, choice, batch, *, instructions=None, threads=1, fused=None, damage=None):
    """The largest error of an output, as a share of the `typical_size` of the largest one."""
    weight, bias = random_weights(spec)
    generator = np.random.default_rng(1)
    x = generator.standard_normal((batch, spec.in_channels, *spec.spatial)).astype("f4")
    expected = reference(spec, x, weight, bias)
    added = None if fused is None else generator.standard_normal(expected.shape).astype("f4")
    used = weight.copy()
    if damage is not None:
        damage(used)
    y = native(
        spec,
        choice,
        x,
        used,
        bias,
        instructions=instructions,
        threads=threads,
        added=added,
        activation=fused or Activation.NONE,
    )
    if added is not None:
        expected = applied(fused, expected, added)
    assert y.shape == expected.shape
    return np.abs(y - expected).max() / max(typical_size(spec, x, weight, bias), 1.0 if fused else 1e-30)


def any_choice(spec, data):
    """One of all ways, tiles that no plan would take included."""
    ways = [plain(spec)]
    if trim(spec).in_channels // spec.groups >= 8:
        ways += tiles(spec, 1000)
    else:
        wide = spec.model_copy(update={"in_channels": 8 * spec.groups})
        ways += tiles(wide, 1000)
    return ways[-1] if data is None else data.draw(st.sampled_from(ways))


def check(spec, batch, data):
    assert refuses(spec) is None
    choice = any_choice(spec, data)
    instructions = INSTRUCTIONS[0] if data is None else data.draw(st.sampled_from(INSTRUCTIONS))
    threads, fused = 2, Activation.RELU
    if data is not None:
        threads, fused = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(FUSED))
    error = largest_error(spec, choice, batch, instructions=instructions, threads=threads, fused=fused)
    assert error <= TOLERANCE


one_axis = convolutions(1, 48, longest=2000, widest_kernel=31, widest_dilation=127, widest_stride=1)
strided = convolutions(1, 40, longest=300, widest_kernel=15, widest_dilation=9, widest_stride=4)
two_axes = convolutions(2, 24, longest=64, widest_kernel=17, widest_dilation=40, widest_stride=4)


@given(one_axis, st.integers(1, 5), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
@example(conv(3, 5, 40, 31, 127, 1905), 2, None)  # the field is far wider than the signal
@example(conv(6, 4, 50, 4, 3, [(0, 9)], groups=2), 3, None)
@example(conv(1, 1, 8, 1), 1, None)
@example(conv(48, 48, 2000, 31, 1, 15), 5, None)
@example(conv(130, 70, 100, 5, 50, 100), 1, None)  # as many phases as half the outputs
def test_one_axis_agrees_with_pytorch(spec, batch, data):
    check(spec, batch, data)


@given(strided, st.integers(1, 3), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
@example(conv(4, 6, 101, 7, 2, 6, groups=2, strides=3), 2, None)
@example(conv(4, 6, 50, 1, strides=2), 2, None)
def test_strides_agree_with_pytorch(spec, batch, data):
    check(spec, batch, data)


@given(two_axes, st.integers(1, 3), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
@example(conv(8, 8, (32, 32), 9, 7, 28), 2, None)  # one tile per phase, in need of the padding's zeros
@example(conv(8, 6, (33, 20), (3, 4), (2, 3), [(1, 2), (4, 2)], groups=2, strides=(2, 3)), 3, None)
@example(conv(16, 4, (28, 28), (1, 7), 1, [(0, 0), (3, 3)]), 1, None)
@example(conv(3, 16, (32, 32), 3, 1, 1), 2, None)  # few channels: a row of the kernel is one sum
def test_two_axes_agree_with_pytorch(spec, batch, data):
    check(spec, batch, data)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize(
    "spec, choice",
    [
        (conv(128, 96, 600, 15, 15, 105), NativeChoice("fft", (48,))),
        (conv(100, 100, 300, 7, 4, [(24, 0)]), NativeChoice("fft", (24,))),
        (conv(100, 72, 300, 3, 4, [(8, 0)]), NativeChoice("direct")),
        (conv(33, 40, (20, 22), 5, 1, 2), NativeChoice("fft", (10, 12))),
        (conv(33, 33, (20, 22), 7, 1, 3, groups=33), NativeChoice("depthwise")),
    ],
)
def test_every_instruction_set_fuses_the_sum_and_the_relu(instructions, spec, choice):
    for fused in FUSED:
        error = largest_error(spec, choice, 3, instructions=instructions, threads=2, fused=fused)
        assert error <= TOLERANCE
    # 2e-6 of the largest output is what a network is promised.
    weight, bias = random_weights(spec)
    x = np.random.default_rng(2).standard_normal((1, spec.in_channels, *spec.spatial)).astype("f4")
    expected = reference(spec, x, weight, bias)
    y = native(spec, choice, x, weight, bias, instructions=instructions)
    assert np.abs(y - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    "points", [2, 6, 10, 12, 16, 18, 20, 24, 30, 32, 36, 40, 48, 50, 60, 64, 72, 80, 96, 128]
)
def test_every_tile_gives_the_same(points):
    spec = conv(16, 20, 130, 2, 1, [(1, 0)])
    assert largest_error(spec, NativeChoice("fft", (points,)), 1) <= TOLERANCE
    if points <= 64:
        flat = conv(16, 20, (40, 30), 2, 1, [(1, 0), (0, 1)])
        rows = points if points in (2, 6, 10, 12, 16, 18, 20, 24, 30, 32) else points // 2
        assert largest_error(flat, NativeChoice("fft", (rows, 16)), 1) <= TOLERANCE


def test_the_tolerance_tells_one_tap():
    spec = conv(48, 48, 2000, 31, 1, 15)
    smallest = np.argsort(np.abs(random_weights(spec)[0]).ravel())

    def without_a_tap(weight):
        weight.ravel()[smallest[weight.size // 4]] = 0  # three of four are larger

    assert largest_error(spec, NativeChoice("fft", (96,)), 1, damage=without_a_tap) > 20 * TOLERANCE


def test_not_a_numbers_stay():
    spec = conv(16, 16, 100, 7, 1, 3)
    weight, bias = random_weights(spec)
    x = np.zeros((1, 16, 100), np.float32)
    x[0, 3, 50] = np.nan
    for choice in (NativeChoice("direct"), NativeChoice("fft", (24,))):
        y = native(spec, choice, x, weight, bias, instructions=None, activation=Activation.RELU)
        assert np.isnan(y[0, :, 50]).all()


def test_packed_taps_are_lean():
    for spec in (
        conv(128, 128, 1000, 15, 1, 7),
        conv(128, 128, (32, 32), 7, 1, 3),
        conv(64, 64, 784, 7, 4, [(24, 0)]),
    ):
        found = tiles(spec, 6)
        assert found and all(packed_share(trim(spec), each.tile) <= 3.5 for each in found)


def test_what_no_kernel_computes_is_refused():
    assert "float64" in refuses(conv(8, 8, 50, 3).model_copy(update={"dtype": "float64"}))
    assert "no output" in refuses(conv(8, 8, 5, 9))
    assert "axes" in refuses(conv(8, 8, (9, 9, 9), 3))
    spec = conv(16, 16, 100, 7, 1, 3)
    weight, bias = random_weights(spec)
    x = np.zeros((1, 16, 100), np.float32)
    for choice, reason in (
        (NativeChoice("fft", (6,)), "shorter than the taps"),
        (NativeChoice("fft", (22,)), "no transform"),
        (NativeChoice("depthwise"), "not depthwise"),
    ):
        with pytest.raises(InputError, match=reason):
            native(spec, choice, x, weight, bias, instructions=None)
    with pytest.raises(InputError, match="this machine has"):
        Program(instructions="mmx")
