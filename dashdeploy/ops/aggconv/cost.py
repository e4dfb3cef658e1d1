"""Which way of computing an AggConv costs least, by counting: what ``method = auto`` decides with.

The count is of one training step, forward and backward: multiply-adds at the rate of the kernel that runs them,
points through FFTs, and elements through memory. `rates` has how quick a device is at each. Counting keeps the choice
the same for the same rates, so that a search that keeps its rates is resumed bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from dashdeploy.ops.aggconv.methods import Computation
from dashdeploy.ops.aggconv.rates import Rates
from dashdeploy.ops.aggconv.spectrum import TapSpectrum
from dashdeploy.ops.aggconv.taps import TapPlan
from dashdeploy.ops.aggconv.tiles import tiling, whole_lengths
from dashdeploy.ops.conv.frame import Frame

Choice = tuple[Computation, int]
"""A computation, and the length of its tiles (0: the input in one piece)."""

TILES = (64, 96, 128, 192, 256, 320, 384, 480, 512, 640, 768, 960, 1024, 1280, 1536, 1920, 2048)
"""Lengths that a series is cut into: those whose FFTs are quick."""


@dataclass(frozen=True)
class Layer:
    """What a count depends on.

    Attributes:
        plan: the taps.
        frame: stride, padding and alignment.
        batch: samples of a step.
        in_channels: of the layer.
        out_channels: of the layer.
        groups: of the layer.
        rates: of the device.
    """

    plan: TapPlan
    frame: Frame
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    rates: Rates

    @property
    def pairs(self) -> int:
        """Of an input and an output channel that see each other."""
        return self.in_channels * self.out_channels // self.groups

    @property
    def depthwise(self) -> bool:
        """Whether every channel sees itself alone."""
        return self.groups == self.in_channels == self.out_channels


@lru_cache(maxsize=4096)
def cheapest(layer: Layer) -> Choice:
    """The computation with the least count, and its tile length (0: the input in one piece)."""
    tile = best_tile(layer)
    costs: dict[tuple[Computation, int], float] = {
        ("per-dilation", 0): _per_dilation(layer),
        ("mixed-weights", 0): direct_cost(layer, math.prod(layer.plan.whole.shape)),
        ("fourier", tile): fourier_cost(layer, tile),
    }
    return min(costs, key=lambda choice: costs[choice])


@lru_cache(maxsize=4096)
def best_tile(layer: Layer) -> int:
    """The tile length with which the Fourier method costs least; 0 is the input in one piece."""
    plan, lengths = layer.plan, [0]
    if layer.frame.rank == 1:
        field, whole = plan.high[0] - plan.low[0] + 1, whole_lengths(plan, layer.frame)[0]
        lengths += [tile for tile in TILES if field < tile < whole]
    return min(lengths, key=lambda tile: fourier_cost(layer, tile))


def _per_dilation(layer: Layer) -> float:
    # Results are added up, and so are the gradients of the input.
    outputs = layer.batch * math.prod(layer.plan.out) * (layer.in_channels + layer.out_channels)
    sums = max(len(layer.plan.boxes) - 1, 0) * outputs / layer.rates.sum
    return sums + sum(direct_cost(layer, math.prod(box.shape)) for box in layer.plan.boxes)


def direct_cost(layer: Layer, taps: int) -> float:
    """Seconds of a direct convolution with so many taps."""
    rates = layer.rates
    if layer.in_channels == layer.groups:
        rate = rates.depthwise
    else:
        filled = math.sqrt(layer.in_channels * layer.out_channels) / layer.groups
        rate = rates.direct * math.sqrt(min(1, filled / rates.full_channels))
    if layer.frame.rank > 1:
        rate *= rates.image_share
    outputs = layer.batch * math.prod(layer.plan.out)
    elements = outputs * (layer.in_channels + layer.out_channels)
    return 3 * outputs * taps * layer.pairs / rate + elements / rates.direct_pass + rates.direct_calls


def fourier_cost(layer: Layer, tile: int) -> float:
    """Seconds of the Fourier method with tiles of the length `tile`; 0 is the input in one piece."""
    rates = layer.rates
    cut = tiling(layer.plan, layer.frame, tile)
    taps = TapSpectrum(layer.plan.distances, cut.lengths)
    points, bins = math.prod(cut.lengths), taps.bins
    rows = layer.batch * cut.tiles
    # x, y and their gradients are transformed once each.
    signals = 2 * rows * (layer.in_channels + layer.out_channels)
    seconds = rates.fourier_calls + _ffts(signals, cut.lengths) / rates.fft
    seconds += signals * (points + bins) / rates.signal
    if layer.depthwise:
        seconds += 3 * rows * bins * layer.in_channels / rates.multiply
    else:
        seconds += 3 * layer.pairs * bins / rates.kernel
        seconds += 3 * 4 * bins * rows * layer.pairs / rates.product
    if taps.by_table(rows=layer.depthwise):
        return seconds + 2 * 2 * bins * len(taps.distances) * layer.pairs / rates.product
    return seconds + _ffts(2 * layer.pairs, cut.lengths) / rates.fft


def _ffts(signals: int, lengths: tuple[int, ...]) -> float:
    """Points that pass through FFTs, times their binary logarithm."""
    points = math.prod(lengths)
    return signals * points * math.log2(points + 1) * math.sqrt(len(lengths))
