"""The Toom-Cook convolution in one or two dimensions as a torch module of ordinary operators.

It computes what the compiler writes as ONNX operators (`dashdeploy.export.lowerings.toom_cook` has the mathematics):
tiles are gathered, transformed along every axis, multiplied with the transformed taps, transformed back, and put in
order. Like `FFTConv` it can be scripted, traced and exported with a dynamic batch; a saved one needs no dashdeploy.

Letters: T = T1 T2 inputs, R = R1 R2 products, S = S1 S2 outputs of a tile (T2 = R2 = S2 = 1 for one axis), M tiles,
s splits of a strided convolution, G groups, K = s Cin / G.
"""

# Without "from __future__ import annotations": TorchScript reads the annotations of the class as types, not text.
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ToomCookConvTables:
    """The constants of one Toom-Cook convolution.

    Attributes:
        inputs: [T1, T2, M, s], which input position (flat) a tile reads; the number of positions stands for a zero.
        outputs: [out_1 .. out_r], where each output stands among the rows (position in the tile, tile).
        analysis: [R1, T1] and [R2, T2].
        synthesis: [S1, R1] and [S2, R2].
        taps: [R, G, K, Cout / G], the transformed taps.
    """

    inputs: Tensor
    outputs: Tensor
    analysis: tuple[Tensor, Tensor]
    synthesis: tuple[Tensor, Tensor]
    taps: Tensor


class ToomCookConv(nn.Module):
    """A convolution [B, Cin, *spatial] -> [B, Cout, *out] that is computed tile by tile.

    Args:
        tables: the constants.
        bias: [Cout], or None.
    """

    inputs: Tensor
    outputs: Tensor
    analysis_1: Tensor
    analysis_2: Tensor
    synthesis_1: Tensor
    synthesis_2: Tensor
    taps: Tensor
    bias: Tensor
    out_spatial: list[int]

    def __init__(self, tables: ToomCookConvTables, bias: Tensor | None) -> None:
        super().__init__()
        self.tile_1, self.tile_2, self.tiles, self.splits = tables.inputs.shape
        self.products, self.groups, self.depth, self.group_out = tables.taps.shape
        self.out_spatial = list(tables.outputs.shape)
        none = torch.zeros(self.groups * self.group_out, dtype=tables.taps.dtype)
        buffers = {
            "inputs": tables.inputs.reshape(-1),
            "outputs": tables.outputs.reshape(-1),
            "analysis_1": tables.analysis[0],
            "analysis_2": tables.analysis[1],
            "synthesis_1": tables.synthesis[0],
            "synthesis_2": tables.synthesis[1],
            "taps": tables.taps,
            "bias": none if bias is None else bias.detach(),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [B, Cin, *spatial]."""
        batch = x.size(0)
        # Positions first, channels last: every move copies whole rows. The last row stands for the padding.
        rows = x.flatten(2).permute(2, 0, 1)
        rows = torch.cat([rows, torch.zeros_like(rows[:1])])
        tiles = rows.index_select(0, self.inputs)
        if self.splits > 1:
            apart = tiles.reshape(-1, self.splits, batch, self.groups, self.depth // self.splits)
            tiles = apart.permute(0, 2, 3, 1, 4)
        values = self._transform(
            tiles.reshape(self.tile_1, self.tile_2, -1), self.analysis_1, self.analysis_2
        )
        columns = values.reshape(self.products, -1, self.groups, self.depth).transpose(1, 2)
        y = torch.matmul(columns, self.taps).transpose(1, 2)  # [R, M B, G, Cout / G]
        y = y.reshape(self.synthesis_1.size(1), self.synthesis_2.size(1), -1)
        y = self._transform(y, self.synthesis_1, self.synthesis_2)
        channels = self.groups * self.group_out
        y = y.reshape(-1, batch, channels).index_select(0, self.outputs) + self.bias
        return y.permute(1, 2, 0).reshape([batch, channels] + self.out_spatial)  # noqa: RUF005 - TorchScript

    def _transform(self, v: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Multiply each axis of v [n1, n2, columns] by its matrix."""
        y = torch.matmul(first, v.flatten(1)).reshape(first.size(0), v.size(1), -1)
        return torch.matmul(second, y)
