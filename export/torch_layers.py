"""A lowered convolution as a torch module: the same tiles, matrices and products as its ONNX form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, prod

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dashdeploy.export.conv_spec import ConvSpec
from dashdeploy.export.dead_taps import trim, trim_weight
from dashdeploy.export.lowerings import FFT, Lowering, ToomCook
from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.tiling import AxisTiling, Rows
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.torch_rows import input_positions
from dashdeploy.export.torch_toom_cook import toom_cook_tables
from dashdeploy.ops.fft_conv import FFTConv, FFTConvTables
from dashdeploy.ops.toom_cook_conv import ToomCookConv

_CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def torch_layer(
    lowering: Lowering, spec: ConvSpec, weight: Weights, bias: Weights | None
) -> nn.Module | None:
    """A module that computes `spec` as `lowering` does; None where torch's own convolution is the same.

    Args:
        lowering: how to compute it.
        spec: the convolution.
        weight: [out_channels, in_channels / groups, *kernel].
        bias: [out_channels], or None.
    """
    living = trim(spec)
    if isinstance(lowering, FFT):
        taps = trim_weight(spec, weight).astype(np.float64)
        tables = fft_tables(living, taps, lowering.tilings(spec), torch.from_numpy(weight).dtype)
        return FFTConv(tables, None if bias is None else torch.from_numpy(bias))
    if isinstance(lowering, ToomCook):
        taps = trim_weight(spec, weight).astype(np.float64)
        table = toom_cook_tables(living, taps, lowering.tilings(spec), torch.from_numpy(weight).dtype)
        return ToomCookConv(table, None if bias is None else torch.from_numpy(bias))
    if isinstance(lowering, Trimmed) and living.pads_begin == living.pads_end:
        return _convolution(living, trim_weight(spec, weight), bias)
    return None


def fft_tables(
    spec: ConvSpec, weight: npt.NDArray[np.float64], tilings: Sequence[AxisTiling], dtype: torch.dtype
) -> FFTConvTables:
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
    return FFTConvTables(
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
    groups, group_out, group_in = (
        spec.groups,
        spec.out_channels // spec.groups,
        spec.in_channels // spec.groups,
    )
    taps: npt.NDArray[np.floating] = weight.reshape(groups, group_out, group_in, *spec.kernel)
    for axis, tiling in reversed(list(enumerate(tilings))):
        taps = tiling.split_taps(taps, 3 + axis)
    waves = [tiling.form.tap_cosines + 1j * tiling.form.tap_sines for tiling in tilings]
    spectra = []
    if spec.rank == 1:
        spectra.append(np.einsum("gocas,fa->fgsco", taps, waves[0]))
    else:
        for first in (waves[0], waves[0].conj()):
            spectrum = np.einsum("gocasbt,fa,hb->fhgstco", taps, first, waves[1], optimize=True)
            spectra.append(spectrum.reshape(-1, *spectrum.shape[2:]))
    table = np.concatenate(spectra).reshape(-1, groups, prod(spec.strides) * group_in, group_out)
    wr, wi = table.real, table.imag
    return np.stack([wr, wi - wr, wr + wi])


def _convolution(spec: ConvSpec, weight: Weights, bias: Weights | None) -> nn.Module:
    """PyTorch's own convolution of `spec`, whose padding is the same on both sides."""
    module = _CONVOLUTIONS[spec.rank](
        spec.in_channels,
        spec.out_channels,
        spec.kernel,  # type: ignore[arg-type]
        stride=spec.strides,  # type: ignore[arg-type]
        padding=spec.pads_begin,  # type: ignore[arg-type]
        dilation=spec.dilations,  # type: ignore[arg-type]
        groups=spec.groups,
        bias=bias is not None,
    )
    with torch.no_grad():
        module.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)))
        if bias is not None:
            module.bias = nn.Parameter(torch.from_numpy(bias))
    return module
