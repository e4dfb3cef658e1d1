"""Which way of computing an AggConv costs least, by counting: what ``method = auto`` decides with.

The count is of one training step, forward and backward: multiply-adds at the rate of the kernel that runs them,
points through FFTs, and elements through memory. The rates were fitted to two AVX-512 cores; only their ratios
matter. Counting instead of measuring keeps the choice the same on every run of a machine, so that a resumed search
goes on bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import torch

from dashdeploy.ops.aggconv.methods import Computation
from dashdeploy.ops.aggconv.spectrum import TapSpectrum
from dashdeploy.ops.aggconv.taps import TapPlan
from dashdeploy.ops.aggconv.tiles import tiling, whole_lengths
from dashdeploy.ops.conv.frame import Frame

AVX512_DIRECT_RATE = 125e9
"""Multiply-adds per second of torch's direct convolutions from `FULL_CHANNELS` channels up."""

DIRECT_RATE = 60e9
"""The same where torch has no AVX-512, which direct convolutions gain more by than products of this size."""

FULL_CHANNELS = 32
"""With fewer, the rate falls with the root of their number."""

IMAGE_SHARE = 0.7
"""Part of the rate that remains over two axes."""

DEPTHWISE_RATE = 6e9
"""The same if a group has one channel."""

DIRECT_PASS_RATE = 0.8e9
"""Elements of input and output per second that a direct convolution brings into its own layout and back."""

PRODUCT_RATE = 60e9
"""Multiply-adds per second of matrix products."""

FFT_RATE = 12e9
"""Points times their binary logarithm per second that pass through FFTs."""

SIGNAL_RATE = 1.4e9
"""Points and frequencies of signals per second that are cut into tiles, transposed and put together again."""

KERNEL_RATE = 0.4e9
"""Frequencies of kernels and of their gradients per second that are transposed."""

MULTIPLY_RATE = 0.7e9
"""Frequencies per second that are multiplied one by one."""

SUM_RATE = 2e9
"""Elements per second that are added up."""

DIRECT_CALLS, FOURIER_CALLS = 0.06e-3, 0.3e-3
"""Seconds that the calls alone take."""

TILES = (64, 96, 128, 192, 256, 320, 384, 480, 512, 640, 768, 960, 1024, 1280, 1536, 1920, 2048)
"""Lengths that a series is cut into: those whose FFTs are quick."""


@dataclass(frozen=True)
class _Layer:
    plan: TapPlan
    frame: Frame
    batch: int
    in_channels: int
    out_channels: int
    groups: int

    @property
    def pairs(self) -> int:
        return self.in_channels * self.out_channels // self.groups

    @property
    def depthwise(self) -> bool:
        return self.groups == self.in_channels == self.out_channels


@lru_cache(maxsize=4096)
def cheapest(
    plan: TapPlan, frame: Frame, batch: int, in_channels: int, out_channels: int, groups: int
) -> tuple[Computation, int]:
    """The computation with the least count, and its tile length (0: the input in one piece)."""
    layer = _Layer(plan, frame, batch, in_channels, out_channels, groups)
    tile = best_tile(plan, frame, batch, in_channels, out_channels, groups)
    costs: dict[tuple[Computation, int], float] = {
        ("per-dilation", 0): _per_dilation(layer),
        ("mixed-weights", 0): _direct(layer, math.prod(plan.whole.shape)),
        ("fourier", tile): _fourier(layer, tile),
    }
    return min(costs, key=lambda choice: costs[choice])


@lru_cache(maxsize=4096)
def best_tile(
    plan: TapPlan, frame: Frame, batch: int, in_channels: int, out_channels: int, groups: int
) -> int:
    """The tile length with which the Fourier method costs least; 0 is the input in one piece."""
    layer = _Layer(plan, frame, batch, in_channels, out_channels, groups)
    lengths = [0]
    if frame.rank == 1:
        field, whole = plan.high[0] - plan.low[0] + 1, whole_lengths(plan, frame)[0]
        lengths += [tile for tile in TILES if field < tile < whole]
    return min(lengths, key=lambda tile: _fourier(layer, tile))


def _per_dilation(layer: _Layer) -> float:
    # Results are added up, and so are the gradients of the input.
    outputs = layer.batch * math.prod(layer.plan.out) * (layer.in_channels + layer.out_channels)
    sums = max(len(layer.plan.boxes) - 1, 0) * outputs / SUM_RATE
    return sums + sum(_direct(layer, math.prod(box.shape)) for box in layer.plan.boxes)


def _direct(layer: _Layer, taps: int) -> float:
    if layer.in_channels == layer.groups:
        rate = DEPTHWISE_RATE
    else:
        filled = math.sqrt(layer.in_channels * layer.out_channels) / layer.groups
        rate = _direct_rate() * math.sqrt(min(1, filled / FULL_CHANNELS))
    if layer.frame.rank > 1:
        rate *= IMAGE_SHARE
    outputs = layer.batch * math.prod(layer.plan.out)
    elements = outputs * (layer.in_channels + layer.out_channels)
    return 3 * outputs * taps * layer.pairs / rate + elements / DIRECT_PASS_RATE + DIRECT_CALLS


@cache
def _direct_rate() -> float:
    return AVX512_DIRECT_RATE if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else DIRECT_RATE


def _fourier(layer: _Layer, tile: int) -> float:
    cut = tiling(layer.plan, layer.frame, tile)
    taps = TapSpectrum(layer.plan.distances, cut.lengths)
    points, bins = math.prod(cut.lengths), taps.bins
    rows = layer.batch * cut.tiles
    # x, y and their gradients are transformed once each.
    signals = 2 * rows * (layer.in_channels + layer.out_channels)
    seconds = FOURIER_CALLS + _ffts(signals, cut.lengths) + signals * (points + bins) / SIGNAL_RATE
    if layer.depthwise:
        seconds += 3 * rows * bins * layer.in_channels / MULTIPLY_RATE
    else:
        seconds += 3 * layer.pairs * bins / KERNEL_RATE
        seconds += 3 * 4 * bins * rows * layer.pairs / PRODUCT_RATE
    if taps.by_table:
        return seconds + 2 * 2 * bins * len(taps.distances) * layer.pairs / PRODUCT_RATE
    return seconds + _ffts(2 * layer.pairs, cut.lengths)


def _ffts(signals: int, lengths: tuple[int, ...]) -> float:
    points = math.prod(lengths)
    return signals * points * math.log2(points + 1) * math.sqrt(len(lengths)) / FFT_RATE
