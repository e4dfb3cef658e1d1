"""The FFT convolution in one or two dimensions as a torch module of ordinary operators.

It computes what the compiler writes as ONNX operators (`dashdeploy.export.lowerings.fft` has the mathematics): tiles
are gathered, split into their even and odd parts along every axis, transformed, multiplied with the spectra of the
taps (three real products per complex one), transformed back, and put in order. The module can be scripted, traced,
and exported by `torch.export` with a dynamic batch; its constants are buffers, so a saved one needs no dashdeploy.

Letters: r axes (1 or 2) have P = 2^r parity parts and S = 2^(r-1) sign patterns; F = F1 F2 frequencies (F2 = 1 for
one axis), R = R1 R2 mirrored outputs, M tiles, s splits of a strided convolution, G groups, K = s Cin / G.
"""

# Without "from __future__ import annotations": TorchScript reads the annotations of the class as types, not text.
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FFTConvTables:
    """The constants of one FFT convolution.

    Attributes:
        inputs: [P, F1, F2, M, s], which input position (flat) a corner of a tile reads; the number of positions
            stands for a zero.
        outputs: [out_1 .. out_r], where each output stands among the rows (corner, mirrored position, tile).
        analysis: [P, F1, F1] and [P, F2, F2], from a part of a tile to its spectrum.
        synthesis: [P, R1, F1] and [P, R2, F2], from a spectrum to a part of the outputs.
        taps: [3, S F, G, K, Cout / G], the factors of the three products: Wr, Wi - Wr and Wr + Wi.
    """

    inputs: Tensor
    outputs: Tensor
    analysis: tuple[Tensor, Tensor]
    synthesis: tuple[Tensor, Tensor]
    taps: Tensor


class FFTConv(nn.Module):
    """A convolution [B, Cin, *spatial] -> [B, Cout, *out] that is computed tile by tile in frequency.

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

    def __init__(self, tables: FFTConvTables, bias: Tensor | None) -> None:
        super().__init__()
        self.parts, self.half_1, self.half_2, self.tiles, self.splits = tables.inputs.shape
        _, _, self.groups, self.depth, self.group_out = tables.taps.shape
        self.out_spatial = list(tables.outputs.shape)
        self.rank = len(self.out_spatial)
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
        corners = rows.index_select(0, self.inputs)
        if self.splits > 1:
            apart = corners.reshape(-1, self.splits, batch, self.groups, self.depth // self.splits)
            corners = apart.permute(0, 2, 3, 1, 4)
        parts = self._butterfly(corners.reshape(self.parts, self.half_1, self.half_2, -1))
        spectra = self._transform(parts, self.analysis_1, self.analysis_2)
        real, imaginary = self._multiply(spectra)
        parts = self._output_parts(real, imaginary)
        parts = self._transform(parts, self.synthesis_1, self.synthesis_2)
        channels = self.groups * self.group_out
        y = self._butterfly(parts).reshape(-1, batch, channels)
        y = y.index_select(0, self.outputs) + self.bias
        return y.permute(1, 2, 0).reshape([batch, channels] + self.out_spatial)  # noqa: RUF005 - TorchScript

    def _butterfly(self, v: Tensor) -> Tensor:
        """Along every axis, replace the two halves by their sum and their difference: [P, ...]."""
        if self.rank == 1:
            return torch.stack([v[0] + v[1], v[0] - v[1]])
        upper, lower = v[0] + v[1], v[2] + v[3]
        upper_odd, lower_odd = v[0] - v[1], v[2] - v[3]
        return torch.stack([upper + lower, upper_odd + lower_odd, upper - lower, upper_odd - lower_odd])

    def _transform(self, v: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Multiply each axis of v [P, h1, h2, columns] by its matrix."""
        y = torch.bmm(first, v.flatten(2)).reshape(self.parts, first.size(1), v.size(2), -1)
        if self.rank == 1:
            return y
        return torch.matmul(second.unsqueeze(1), y)

    def _multiply(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """The three products per sign pattern: spectra [P, F1, F2, M B K G] to Yr, Yi [S, F1, F2, M B Cout]."""
        if self.rank == 1:
            xr, xi = spectra[:1], spectra[1:]
        else:
            xr = torch.stack([spectra[0] + spectra[3], spectra[0] - spectra[3]])
            xi = torch.stack([spectra[1] + spectra[2], spectra[1] - spectra[2]])
        p1 = self._product(xr + xi, self.taps[0])
        p2 = self._product(xr, self.taps[1])
        p3 = self._product(xi, self.taps[2])
        return p1 - p3, p1 + p2

    def _product(self, spectrum: Tensor, taps: Tensor) -> Tensor:
        """[S, F1, F2, M B G K] x [S F, G, K, Cout / G]."""
        columns = spectrum.reshape(taps.size(0), -1, self.groups, self.depth).transpose(1, 2)
        y = torch.matmul(columns, taps).transpose(1, 2)
        return y.reshape(spectrum.size(0), self.half_1, self.half_2, -1)

    def _output_parts(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """The spectra of the outputs' parity parts [P, F1, F2, ...], the sign patterns summed."""
        if self.rank == 1:
            return torch.cat([real, imaginary])
        return torch.stack(
            [
                real[0] + real[1],
                imaginary[0] + imaginary[1],
                imaginary[0] - imaginary[1],
                real[0] - real[1],
            ]
        )
