"""The FFT convolution in one or two dimensions as a torch module of ordinary operators.

It computes what the compiler writes as ONNX operators (`dashdeploy.export.lowerings.fft` has the mathematics): tiles
are gathered, split into their even and odd parts along every axis, transformed, multiplied with the spectra of the
taps (three real products per complex one), transformed back, and put in order.

Letters, besides those of `tiled_conv`: r axes (1 or 2) have P = 2^r parity parts and S = 2^(r-1) sign patterns;
F = F1 F2 frequencies (F2 = 1 for one axis), R = R1 R2 mirrored outputs. The tables of `TiledConvTables` are

    inputs     [P, F1, F2, M, s], a row of a tile's corner
    outputs    among the rows (corner, mirrored position, tile)
    analysis   [P, F1, F1] and [P, F2, F2], from a part of a tile to its spectrum
    synthesis  [P, R1, F1] and [P, R2, F2], from a spectrum to a part of the outputs
    taps       [3, S F, G, K, Cout / G], the factors of the three products: Wr, Wi - Wr and Wr + Wi
"""

import torch
from torch import Tensor

from dashdeploy.ops.conv.tiled_conv import TiledConv, TiledConvTables


class FFTConv(TiledConv):
    """A convolution that is computed tile by tile in frequency; see `TiledConv`."""

    def __init__(self, tables: TiledConvTables, bias: Tensor | None) -> None:
        super().__init__(tables, bias)
        self.parts, self.half_1, self.half_2 = tables.inputs.shape[:3]
        self.rank = tables.outputs.dim()

    def _of_tiles(self, rows: Tensor) -> Tensor:
        parts = self._butterfly(rows.reshape(self.parts, self.half_1, self.half_2, -1))
        spectra = self._transform(parts, self.analysis_1, self.analysis_2)
        real, imaginary = self._multiply(spectra)
        parts = self._output_parts(real, imaginary)
        return self._butterfly(self._transform(parts, self.synthesis_1, self.synthesis_2))

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
        y = self._products(torch.cat([xr + xi, xr, xi]).flatten(0, 2))
        p1, p2, p3 = y.reshape(3, xr.size(0), self.half_1, self.half_2, -1).unbind(0)
        return p1 - p3, p1 + p2

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
