"""The constants of an FFT convolution's torch module: those of its ONNX form, in another layout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, prod

import numpy as np
import numpy.typing as npt
import torch

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.tiling import AxisTiling, Rows
from dashdeploy.export.torch.rows import by_group, input_positions, split_taps
from dashdeploy.ops.conv.tiled_conv import TiledConvTables


def fft_tables(
    spec: ConvSpec, weight: npt.NDArray[np.float64], tilings: Sequence[AxisTiling], dtype: torch.dtype
) -> TiledConvTables:
    """The constants of an FFT convolution.

    Args:
        spec: the convolution, without dead taps.
        weight: [out_channels, in_channels / groups, *kernel].
        tilings: how each axis is cut.
        dtype: the element type of the matrices.
    """
    forms = [tiling.form for tiling in tilings]
    parts = list(product((0, 1), repeat=spec.rank))

    def matrices(axis: int, odd_names: tuple[str, str], scale: float) -> torch.Tensor:
        """[P, rows, columns] of one axis; the sign of a part is folded into its first matrix."""
        if axis >= spec.rank:
            return torch.ones(len(parts), 1, 1, dtype=dtype)
        table = np.stack([getattr(forms[axis], odd_names[part[axis]]) for part in parts])
        if axis == 0:
            signs = [(-1.0) ** ceil(sum(part) / 2) for part in parts]
            table = table * scale * np.asarray(signs)[:, None, None]
        return torch.from_numpy(table).to(dtype)

    analysis, synthesis = ("cosines", "sines"), ("synthesis_cosines", "synthesis_sines")
    # Both signs of every axis but the last are summed.
    scale = 0.5 ** (spec.rank - 1)
    return TiledConvTables(
        inputs=torch.from_numpy(
            np.stack([input_positions(tilings, _corner(tilings, part)) for part in parts])
        ),
        outputs=torch.from_numpy(_output_rows(tilings)),
        analysis=(matrices(0, analysis, 1.0), matrices(1, analysis, 1.0)),
        synthesis=(matrices(0, synthesis, scale), matrices(1, synthesis, scale)),
        taps=torch.from_numpy(_taps(spec, weight, tilings)).to(dtype),
    )


def _corner(tilings: Sequence[AxisTiling], part: tuple[int, ...]) -> list[Rows]:
    """The rows of one corner of each tile: per axis its lower half or its upper one."""
    return [tiling.lower if lower else tiling.upper for tiling, lower in zip(tilings, part, strict=True)]


def _output_rows(tilings: Sequence[AxisTiling]) -> npt.NDArray[np.int64]:
    """[out_1 .. out_r]: where each output stands among the rows (corner, mirrored position, tile)."""
    corner = position = column = np.zeros([tiling.length for tiling in tilings], dtype=np.int64)
    for axis, tiling in enumerate(tilings):
        row, tile = tiling.outputs()
        half, mirrored = np.divmod(row, tiling.form.mirrored)
        along = [-1 if other == axis else 1 for other in range(len(tilings))]
        corner = 2 * corner + half.reshape(along)
        position = tiling.form.mirrored * position + mirrored.reshape(along)
        column = tiling.columns * column + tile.reshape(along)
    positions = prod(tiling.form.mirrored for tiling in tilings)
    columns = prod(tiling.columns for tiling in tilings)
    return np.asarray((corner * positions + position) * columns + column)


def _taps(
    spec: ConvSpec, weight: npt.NDArray[np.float64], tilings: Sequence[AxisTiling]
) -> npt.NDArray[np.float64]:
    """[3, S F, G, K, Cout / G]: Wr, Wi - Wr and Wr + Wi of the conjugate spectra, per sign pattern.

    W(signs) = sum over the taps of w[j] exp(i (+-angle_1[j_1] + angle_2[j_2])); the last axis needs its positive
    frequencies only, since the tile is real.
    """
    taps = split_taps(spec, weight, tilings)
    waves = [tiling.form.tap_cosines + 1j * tiling.form.tap_sines for tiling in tilings]
    spectra = []
    if spec.rank == 1:
        spectra.append(np.einsum("gocas,fa->fgsco", taps, waves[0]))
    else:
        for first in (waves[0], waves[0].conj()):
            spectrum = np.einsum("gocasbt,fa,hb->fhgstco", taps, first, waves[1], optimize=True)
            spectra.append(spectrum.reshape(-1, *spectrum.shape[2:]))
    table = by_group(spec, np.concatenate(spectra))
    wr, wi = table.real, table.imag
    return np.stack([wr, wi - wr, wr + wi])
