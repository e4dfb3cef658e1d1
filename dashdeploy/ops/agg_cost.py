"""Which way of computing an AggConv costs least, by counting: what ``method = auto`` decides with.

The count is of one training step, forward and backward: multiply-adds at the rate of the kernel that runs them, and
elements passed through memory. The rates were fitted to one AVX2 core, the direct one also to AVX-512; only their
ratios matter. Counting instead of measuring keeps the choice the same on every run of a machine, so that a resumed
search goes on bit for bit.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Literal

import torch

from dashdeploy.ops.agg_fourier import smooth_length, whole_lengths
from dashdeploy.ops.agg_taps import Frame, TapPlan

Computation = Literal["mixed-weights", "per-dilation", "fourier"]

DIRECT_RATE = 6e9
"""Multiply-adds per second of torch's direct convolutions from `FULL_CHANNELS` channels up."""

AVX512_DIRECT_RATE = 11e9
"""The same where torch has AVX-512, which direct convolutions gain more by than matrix products of this size."""

FULL_CHANNELS = 32

DEPTHWISE_RATE = 0.6e9
"""The same if a group has one channel."""

PRODUCT_RATE = 12e9
"""Multiply-adds per second of matrix products."""

PASS_RATE = 0.25e9
"""Elements per second that pass through memory."""

LONGEST_TILE = 256
"""Above this length FFTs are quicker than products with DFT matrices."""


@lru_cache(maxsize=4096)
def cheapest(
    plan: TapPlan, frame: Frame, batch: int, in_channels: int, out_channels: int, groups: int
) -> tuple[Computation, int]:
    """The computation with the least count, and its tile length (0: the input in one piece)."""
    pairs = in_channels * out_channels // groups
    costs: dict[tuple[Computation, int], float] = {
        ("per-dilation", 0): sum(
            _direct(math.prod(box.shape), plan, batch, in_channels, out_channels, groups)
            for box in plan.boxes
        ),
        ("mixed-weights", 0): _direct(
            math.prod(plan.whole.shape), plan, batch, in_channels, out_channels, groups
        ),
        ("fourier", 0): _whole(plan, frame, batch, in_channels, out_channels, pairs),
    }
    if frame.rank == 1:
        for tile in _tile_lengths(plan, frame):
            costs["fourier", tile] = _tiles(plan, frame, batch, in_channels, out_channels, pairs, tile)
    return min(costs, key=lambda choice: costs[choice])


def best_tile(
    plan: TapPlan, frame: Frame, batch: int, in_channels: int, out_channels: int, groups: int
) -> int:
    """The tile length with which the Fourier method costs least; 0 is the input in one piece."""
    pairs = in_channels * out_channels // groups
    costs = {0: _whole(plan, frame, batch, in_channels, out_channels, pairs)}
    if frame.rank == 1:
        for tile in _tile_lengths(plan, frame):
            costs[tile] = _tiles(plan, frame, batch, in_channels, out_channels, pairs, tile)
    return min(costs, key=lambda tile: costs[tile])


def _direct(taps: int, plan: TapPlan, batch: int, in_channels: int, out_channels: int, groups: int) -> float:
    filled = math.sqrt(in_channels * out_channels) / groups
    rate = DEPTHWISE_RATE if in_channels == groups else _direct_rate() * min(1, filled / FULL_CHANNELS)
    outputs = batch * math.prod(plan.out)
    products = 3 * outputs * taps * in_channels * out_channels / groups
    return products / rate + outputs * (in_channels + out_channels) / PASS_RATE


@cache
def _direct_rate() -> float:
    return AVX512_DIRECT_RATE if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else DIRECT_RATE


def _whole(plan: TapPlan, frame: Frame, batch: int, in_channels: int, out_channels: int, pairs: int) -> float:
    lengths = whole_lengths(plan, frame)
    bins = math.prod(lengths[:-1]) * (lengths[-1] // 2 + 1)
    products = 2 * 2 * bins * len(plan.distances) * pairs + 3 * 4 * bins * batch * pairs
    passes = 12 * 2 * bins * batch * (in_channels + out_channels) + 4 * 2 * bins * pairs
    return products / PRODUCT_RATE + passes / PASS_RATE


def _tiles(
    plan: TapPlan, frame: Frame, batch: int, in_channels: int, out_channels: int, pairs: int, tile: int
) -> float:
    wanted = frame.stride[0] * (plan.out[0] - 1) + 1
    valid, length = tile - (plan.high[0] - plan.low[0]), tile
    if tile >= whole_lengths(plan, frame)[0]:
        valid, length = wanted, plan.spatial[0]
    rows = batch * -(-wanted // valid)
    bins = tile // 2 + 1
    transforms = 2 * bins * rows * (length * in_channels + valid * out_channels)
    products = 3 * transforms + 2 * 2 * bins * len(plan.distances) * pairs + 3 * 4 * bins * rows * pairs
    passes = 6 * 2 * bins * rows * (in_channels + out_channels) + 4 * 2 * bins * pairs
    return products / PRODUCT_RATE + passes / PASS_RATE


def _tile_lengths(plan: TapPlan, frame: Frame) -> set[int]:
    field = plan.high[0] - plan.low[0] + 1
    multiples = {smooth_length(math.ceil(field * factor) + 1) for factor in (1.25, 1.5, 2, 3, 4, 6, 8)}
    whole = whole_lengths(plan, frame)[0]
    return {whole} & set(range(LONGEST_TILE + 1)) | {
        tile for tile in multiples | {32, 48, 64} if field < tile <= min(LONGEST_TILE, whole)
    }
