"""The Toom-Cook convolution in one or two dimensions as a torch module of ordinary operators.

It computes what the compiler writes as ONNX operators (`dashdeploy.export.lowerings.toom_cook` has the mathematics):
tiles are gathered, transformed along every axis, multiplied with the transformed taps, transformed back, and put in
order.

Letters, besides those of `tiled_conv`: T = T1 T2 inputs, R = R1 R2 products, S = S1 S2 outputs of a tile
(T2 = R2 = S2 = 1 for one axis). The tables of `TiledConvTables` are

    inputs     [T1, T2, M, s]
    outputs    among the rows (position in the tile, tile)
    analysis   [R1, T1] and [R2, T2]
    synthesis  [S1, R1] and [S2, R2]
    taps       [R, G, K, Cout / G]
"""

import torch
from torch import Tensor

from dashdeploy.ops.conv.tiled_conv import TiledConv, TiledConvTables


class ToomCookConv(TiledConv):
    """A convolution whose tiles are multiplied at a few points; see `TiledConv`."""

    def __init__(self, tables: TiledConvTables, bias: Tensor | None) -> None:
        super().__init__(tables, bias)
        self.tile_1, self.tile_2 = tables.inputs.shape[:2]
        self.products = tables.taps.shape[0]
        self.rank = tables.outputs.dim()

    def _of_tiles(self, rows: Tensor) -> Tensor:
        tiles = rows.reshape(self.tile_1, self.tile_2, -1)
        values = self._transform(tiles, self.analysis_1, self.analysis_2)
        y = self._products(values.reshape(self.products, -1))
        y = y.reshape(self.synthesis_1.size(1), self.synthesis_2.size(1), -1)
        return self._transform(y, self.synthesis_1, self.synthesis_2)

    def _transform(self, v: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Multiply each axis of v [n1, n2, columns] by its matrix."""
        y = torch.matmul(first, v.flatten(1)).reshape(first.size(0), v.size(1), -1)
        if self.rank == 1:
            return y
        return torch.matmul(second, y)
