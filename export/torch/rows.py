"""What the tables of all tiled convolutions' torch modules are made of: rows that tiles read, and taps by group."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.tiling import Rows, TiledAxis


def input_positions(tilings: Sequence[TiledAxis], rows: Sequence[Rows]) -> Rows:
    """The flat input positions that some rows of each tile read: [H1, H2, M, s]; beyond the last one, a zero.

    Args:
        tilings: how each axis is cut.
        rows: [H, M] per axis: the rows, in each of the axis's tiles.
    """
    flat: npt.NDArray[np.int64] = np.zeros((1, 1, 1), dtype=np.int64)
    valid: npt.NDArray[np.bool] = np.ones((1, 1, 1), dtype=bool)
    for tiling, along in zip(tilings, rows, strict=True):
        position = tiling.sources()[along] - tiling.before  # [H, M, s]
        inside = (position >= 0) & (position < tiling.extent)
        flat = _outer(flat * tiling.extent, np.where(inside, position, 0), np.add)
        valid = _outer(valid, inside, np.logical_and)
    extent = prod(tiling.extent for tiling in tilings)
    heights = [along.shape[0] for along in rows] + [1] * (2 - len(rows))
    return np.where(valid, flat, extent).reshape(*heights, flat.shape[1], flat.shape[2])


def split_taps(
    spec: ConvSpec, weight: npt.NDArray[np.float64], tilings: Sequence[TiledAxis]
) -> npt.NDArray[np.floating]:
    """[G, Cout / G, Cin / G, a_1, s_1 .. a_r, s_r]: the taps of every group, by split on each axis.

    Args:
        spec: the convolution, without dead taps.
        weight: [out_channels, in_channels / groups, *kernel].
        tilings: how each axis is cut.
    """
    group_out, group_in = spec.out_channels // spec.groups, spec.in_channels // spec.groups
    taps: npt.NDArray[np.floating] = weight.reshape(spec.groups, group_out, group_in, *spec.kernel)
    for axis, tiling in reversed(list(enumerate(tilings))):
        taps = tiling.split_taps(taps, 3 + axis)
    return taps


def by_group(spec: ConvSpec, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[rows, G, K, Cout / G] of a table [rows, G, splits .., Cin / G, Cout / G]: what a batched product wants."""
    group_out, group_in = spec.out_channels // spec.groups, spec.in_channels // spec.groups
    return table.reshape(-1, spec.groups, prod(spec.strides) * group_in, group_out)


def _outer(a: npt.NDArray[Any], b: npt.NDArray[Any], combine: np.ufunc) -> npt.NDArray[Any]:
    """Combine [H1, M1, s1] and [H2, M2, s2] to [H1 H2, M1 M2, s1 s2]."""
    both = combine(a[:, None, :, None, :, None], b[None, :, None, :, None, :])
    shape = [a.shape[axis] * b.shape[axis] for axis in range(3)]
    return np.asarray(both.reshape(shape))
