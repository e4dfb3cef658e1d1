"""The constants of a Toom-Cook convolution's torch module: those of its ONNX form, in another layout."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.tiling import Rows
from dashdeploy.export.lowerings.toom_cook import ToomCookAxis
from dashdeploy.export.torch.rows import by_group, input_positions, split_taps
from dashdeploy.ops.conv.tiled_conv import TiledConvTables


def toom_cook_tables(
    spec: ConvSpec, weight: npt.NDArray[np.float64], tilings: Sequence[ToomCookAxis], dtype: torch.dtype
) -> TiledConvTables:
    """The constants of a Toom-Cook convolution.

    Args:
        spec: the convolution, without dead taps.
        weight: [out_channels, in_channels / groups, *kernel].
        tilings: how each axis is cut.
        dtype: the element type of the matrices.
    """

    def matrices(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        found = [torch.from_numpy(np.asarray(getattr(tiling.form, name))).to(dtype) for tiling in tilings]
        return found[0], found[1] if len(found) > 1 else torch.ones(1, 1, dtype=dtype)

    return TiledConvTables(
        inputs=torch.from_numpy(input_positions(tilings, [tiling.steps() for tiling in tilings])),
        outputs=torch.from_numpy(_output_rows(tilings)),
        analysis=matrices("analysis"),
        synthesis=matrices("synthesis"),
        taps=torch.from_numpy(_taps(spec, weight, tilings)).to(dtype),
    )


def _output_rows(tilings: Sequence[ToomCookAxis]) -> Rows:
    """[out_1 .. out_r]: where each output stands among the rows (position in the tile, tile)."""
    position = column = np.zeros([tiling.length for tiling in tilings], dtype=np.int64)
    for axis, tiling in enumerate(tilings):
        place, tile = tiling.output_places()
        along = [-1 if other == axis else 1 for other in range(len(tilings))]
        position = tiling.form.outputs * position + place.reshape(along)
        column = tiling.columns * column + tile.reshape(along)
    return np.asarray(position * prod(tiling.columns for tiling in tilings) + column)


def _taps(
    spec: ConvSpec, weight: npt.NDArray[np.float64], tilings: Sequence[ToomCookAxis]
) -> npt.NDArray[np.float64]:
    """[R, G, K, Cout / G]: every axis of the taps multiplied by its matrix."""
    taps = split_taps(spec, weight, tilings)
    first = tilings[0].form.tap_matrix
    if spec.rank == 1:
        table = np.einsum("gocas,ra->rgsco", taps, first)
    else:
        table = np.einsum("gocasbt,ra,qb->rqgstco", taps, first, tilings[1].form.tap_matrix, optimize=True)
        table = table.reshape(-1, *table.shape[2:])
    return by_group(spec, table)
