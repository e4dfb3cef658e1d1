"""Which native kernels compute a convolution, and what each would cost: tiles to measure, likeliest first."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim
from dashdeploy.export.passes.native_fusion import NativeChoice

MOST_PACKED = 3.5
"""Floats of packed taps per tap, of a network; longer tiles need fewer products, but the taps outgrow the caches."""

_MOST_PACKED_OF_A_LAYER = 4.6

_RADICES = (1, 2, 3, 4, 5, 6, 8)
_POINTS = tuple(sorted({a * b for a in _RADICES for b in _RADICES}))
"""Of the transforms that ``plan.cpp`` has, along an axis of complex numbers."""

_LARGEST_TILE = 4096

# A model of one core with AVX-512, fitted to layers of 64 to 256 channels: it orders candidates, no more.
_FLOPS = 90e9
_BYTES = 20e9
_TRANSFORMED = 8e9
"""Floats per second through the transforms, there and back."""


def refuses(spec: ConvSpec) -> str | None:
    """Why no native kernel computes a convolution, or None."""
    if spec.dtype != "float32":
        return f"{spec.dtype}: the native kernels compute in float32"
    if spec.rank not in (1, 2):
        return f"{spec.rank} spatial axes: the native kernels have one or two"
    if min(spec.pads_begin + spec.pads_end) < 0:
        return "negative padding"
    if min(spec.out_spatial) < 1:
        return "no output: the kernel is longer than the padded input"
    return None


def plain(spec: ConvSpec) -> NativeChoice:
    """The way that needs no transform."""
    living = trim(spec)
    if living.groups == living.in_channels == living.out_channels and living.groups > 1:
        return NativeChoice("depthwise")
    return NativeChoice("direct")


def tiles(spec: ConvSpec, limit: int) -> list[NativeChoice]:
    """The FFT tiles of the least estimates; empty where the sum over channels is too short to pay for transforms."""
    spec = trim(spec)
    if spec.in_channels // spec.groups < 8:
        return []
    found = sorted(_tilings(spec), key=lambda tile: _seconds(spec, tile))
    lean = [tile for tile in found if packed_share(spec, tile) <= MOST_PACKED]
    # Of very few taps every tile needs more; then the leanest ones are tried.
    chosen = lean or sorted(found, key=lambda tile: packed_share(spec, tile))
    return [NativeChoice("fft", tile) for tile in chosen[:limit]]


def fat_tiles(spec: ConvSpec, limit: int) -> list[NativeChoice]:
    """Tiles that a network cannot have for all its layers, of estimates below those of all `tiles`."""
    spec = trim(spec)
    lean = tiles(spec, 1)
    if not lean or packed_share(spec, lean[0].tile) > MOST_PACKED:
        return []
    bound = _seconds(spec, lean[0].tile)
    found = [
        tile
        for tile in _tilings(spec)
        if MOST_PACKED < packed_share(spec, tile) <= _MOST_PACKED_OF_A_LAYER and _seconds(spec, tile) < bound
    ]
    return [
        NativeChoice("fft", tile) for tile in sorted(found, key=lambda tile: _seconds(spec, tile))[:limit]
    ]


def tap_floats(spec: ConvSpec) -> int:
    """Floats of the taps that are alive."""
    living = trim(spec)
    return living.out_channels * (living.in_channels // living.groups) * prod(living.kernel)


def packed_floats(spec: ConvSpec, choice: NativeChoice) -> int:
    """Floats that the packed taps take, about; outputs in halves of a vector of 16."""
    spec = trim(spec)
    width = ceil(spec.out_channels // spec.groups / 8) * 8 * spec.groups
    taps = width * (spec.in_channels // spec.groups) * prod(spec.kernel)
    return round(taps * packed_share(spec, choice.tile)) if choice.tile else taps


def packed_share(spec: ConvSpec, tile: tuple[int, ...]) -> float:
    """Floats of packed taps per tap, channels counted as they are."""
    splits = prod(min(stride, taps) for stride, taps in zip(spec.strides, spec.kernel, strict=True))
    return 2 * _frequencies(tile) * splits / prod(spec.kernel)


def estimate(spec: ConvSpec, choice: NativeChoice) -> float:
    """Seconds of one call, by counting."""
    living = trim(spec)
    if choice.tile:
        return _seconds(living, choice.tile)
    width = living.out_channels // living.groups
    # Lanes without a channel are computed, too.
    lanes = 1.0 if choice.algorithm == "depthwise" else _padded(width) / width
    return 2 * living.multiply_adds * lanes / _FLOPS


def _tilings(spec: ConvSpec) -> Iterator[tuple[int, ...]]:
    axes = []
    for axis in range(spec.rank):
        last = axis == spec.rank - 1
        taps = ceil(spec.kernel[axis] / spec.strides[axis])
        phase = ceil(spec.out_spatial[axis] / spec.dilations[axis])
        points = [2 * point for point in _POINTS] if last else list(_POINTS)
        fit = [point for point in points if point >= max(taps, 2)]
        # Longer than a whole phase is a waste.
        enough = next((point for point in fit if point >= phase + taps - 1), fit[-1] if fit else 0)
        axes.append([point for point in fit if point <= enough])
    if spec.rank == 1:
        yield from ((point,) for point in axes[0])
        return
    for rows in axes[0]:
        for cols in axes[1]:
            if rows * cols <= _LARGEST_TILE:
                yield rows, cols


def _frequencies(tile: tuple[int, ...]) -> int:
    return prod(tile) // 2


def _seconds(spec: ConvSpec, tile: tuple[int, ...]) -> float:
    columns = prod(_columns(spec, axis, length) for axis, length in enumerate(tile)) * spec.batch
    splits = prod(min(stride, taps) for stride, taps in zip(spec.strides, spec.kernel, strict=True))
    depth = splits * _padded(spec.in_channels // spec.groups) * spec.groups
    width = _padded(spec.out_channels // spec.groups)
    frequencies = _frequencies(tile)
    products = 6 * columns * frequencies * depth * width / _FLOPS
    taps = 8 * frequencies * depth * width / _BYTES
    moved = columns * prod(tile) * (depth + width * spec.groups) / _TRANSFORMED
    return max(products, taps) + 0.3 * min(products, taps) + moved


def _padded(channels: int) -> int:
    return ceil(channels / 16) * 16


def _columns(spec: ConvSpec, axis: int, tile: int) -> int:
    """Tiles along an axis, as ``make_axis`` of ``plan.cpp`` cuts it."""
    dilation, length, before = spec.dilations[axis], spec.out_spatial[axis], spec.pads_begin[axis]
    taps = ceil(spec.kernel[axis] / spec.strides[axis])
    phase, outputs = ceil(length / dilation), tile - taps + 1
    beside = phase + taps - 1 - tile
    end = ceil((before + spec.spatial[axis]) / dilation)
    if spec.strides[axis] == 1 and 0 < beside <= before // dilation and phase <= tile and end <= tile:
        outputs = phase
    return ceil(phase / outputs) * min(dilation, length)
