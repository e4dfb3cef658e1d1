"""What the tiled convolutions have in common as torch modules: their constants, and the way into tiles and back.

Letters: r axes (1 or 2), M tiles, s splits of a strided convolution, G groups, K = s Cin / G, P parts of the tables
that a form of its own needs (`FFTConv`), none for others.
"""

# Without "from __future__ import annotations": TorchScript reads the annotations of the class as types, not text.
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TiledConvTables:
    """The constants of one tiled convolution.

    Attributes:
        inputs: [*rows, M, s], which input position (flat) every row of a tile reads; the number of positions stands
            for a zero.
        outputs: [out_1 .. out_r], where each output stands among the rows of all tiles.
        analysis: a matrix or [P, ...] of them for each of two axes; the second is one for a single axis.
        synthesis: the same, backwards.
        taps: [*products, G, K, Cout / G], the transformed taps.
    """

    inputs: Tensor
    outputs: Tensor
    analysis: tuple[Tensor, Tensor]
    synthesis: tuple[Tensor, Tensor]
    taps: Tensor


class TiledConv(nn.Module):
    """A convolution [B, Cin, *spatial] -> [B, Cout, *out] that is computed tile by tile.

    A form says in `_of_tiles` what is computed of the tiles' rows. Modules can be scripted, traced, and exported by
    `torch.export` with a dynamic batch; the constants are buffers, so a saved one needs no dashdeploy.

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

    def __init__(self, tables: TiledConvTables, bias: Tensor | None) -> None:
        super().__init__()
        self.tiles, self.splits = tables.inputs.shape[-2:]
        self.groups, self.depth, self.group_out = tables.taps.shape[-3:]
        self.out_spatial = list(tables.outputs.shape)
        none = torch.zeros(self.groups * self.group_out, dtype=tables.taps.dtype)
        buffers = {
            "inputs": tables.inputs.reshape(-1),
            "outputs": tables.outputs.reshape(-1),
            "analysis_1": tables.analysis[0],
            "analysis_2": tables.analysis[1],
            "synthesis_1": tables.synthesis[0],
            "synthesis_2": tables.synthesis[1],
            # As the products take them: engines that keep every view as a copy would copy them at each call.
            "taps": tables.taps.reshape(-1, self.depth, self.group_out),
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
        rows = rows.index_select(0, self.inputs)
        if self.splits > 1:
            apart = rows.reshape(-1, self.splits, batch, self.groups, self.depth // self.splits)
            rows = apart.permute(0, 2, 3, 1, 4)
        channels = self.groups * self.group_out
        y = self._of_tiles(rows).reshape(-1, batch, channels)
        y = y.index_select(0, self.outputs) + self.bias
        return y.permute(1, 2, 0).reshape([batch, channels] + self.out_spatial)  # noqa: RUF005 - TorchScript

    def _products(self, rows: Tensor) -> Tensor:
        """All products with the taps: [products, M B G K] to [products, M B G Cout / G]."""
        count = rows.size(0)
        columns = rows.reshape(count, -1, self.groups, self.depth).transpose(1, 2)
        y = torch.bmm(columns.reshape(count * self.groups, -1, self.depth), self.taps)
        y = y.reshape(count, self.groups, -1, self.group_out).transpose(1, 2)
        return y.reshape(count, -1)

    def _of_tiles(self, rows: Tensor) -> Tensor:
        """The outputs of all tiles, of the rows that they read: [*rows, M, B, K G] in one axis or more."""
        raise NotImplementedError
