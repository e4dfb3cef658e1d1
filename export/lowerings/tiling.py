"""How the spatial axes of a convolution are cut into phases and tiles, and what the lowerings by tiles share.

With stride s, dilation d and taps w[j], output n reads the padded inputs ``s n + d j``. Taps are split by
j = s a + r, r = 0 .. s-1: then ``x_r[n] = x[s n + d r]`` are s inputs of a convolution of stride 1 with
ceil(k / s) taps ``w[s a + r]`` and the same dilation (space-to-depth). Outputs of phase p = 0 .. d-1 (p, p + d,
p + 2d, ...) depend on the inputs of that phase alone (polyphase), and each phase is cut into Q tiles of S outputs
(overlap-save): tile (q, p) reads the rows ``(q S + t) d + p``, t = 0 .. T-1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, prod
from typing import Self

import numpy as np
import numpy.typing as npt

from dashdeploy.export.lowerings.base import Lowering, ProductForm
from dashdeploy.export.lowerings.canonical_form import canonical
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.ops.conv.fft_form import FFTForm

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TiledAxis(ABC):
    """One spatial axis, cut into tiles of one length.

    Attributes:
        tile: T, the tile's length.
        taps: k, before the split by stride.
        stride: s.
        dilation: d.
        length: outputs along this axis.
        before: zeros in front of the input.
        extent: the input's length.
    """

    tile: int
    taps: int
    stride: int
    dilation: int
    length: int
    before: int
    extent: int

    @classmethod
    def of(cls, spec: ConvSpec, axis: int, tile: int) -> Self:
        """The tiling of `axis` of `spec` with tiles of length `tile`."""
        return cls(
            tile=tile,
            taps=spec.kernel[axis],
            stride=spec.strides[axis],
            dilation=spec.dilations[axis],
            length=spec.out_spatial[axis],
            before=spec.pads_begin[axis],
            extent=spec.spatial[axis],
        )

    @property
    def each_taps(self) -> int:
        """Taps of one split."""
        return ceil(self.taps / self.stride)

    @property
    def phase(self) -> int:
        """Outputs of the longest phase."""
        return ceil(self.length / self.dilation)

    @property
    @abstractmethod
    def outputs_per_tile(self) -> int:
        """S: outputs that one tile gives."""

    @property
    def margin(self) -> int:
        """Rows of a phase before its first tile that are left out."""
        return 0

    @property
    def phases(self) -> int:
        """Phases that have an output: d, or fewer where the output is shorter."""
        return min(self.dilation, self.length)

    @property
    def tiles(self) -> int:
        """Q: tiles per phase."""
        return ceil(self.phase / self.outputs_per_tile)

    @property
    def columns(self) -> int:
        """M: tiles of all phases that have an output; those of the shorter phases may end one tile earlier."""
        before_last = (self.tiles - 1) * self.outputs_per_tile * self.dilation
        return (self.tiles - 1) * self.phases + min(self.phases, self.length - before_last)

    def steps(self) -> Rows:
        """Which row the tile position t of (q, p) reads: [T, M], the phases of one q beside each other."""
        q, p = np.divmod(np.arange(self.columns, dtype=np.int64), self.phases)
        t = np.arange(self.tile, dtype=np.int64)[:, None] + self.margin
        return (q * self.outputs_per_tile + t) * self.dilation + p

    @property
    def rows(self) -> int:
        """How many rows the tiles read."""
        return int(self.steps()[-1].max()) + 1

    @property
    def after(self) -> int:
        """Zeros behind the input that the rows reach into."""
        needed = self.stride * (self.rows - 1) + self.dilation * (self.stride - 1) + 1
        return max(0, needed - self.before - self.extent)

    @property
    def padded(self) -> int:
        """The padded input's length."""
        return self.before + self.extent + self.after

    def sources(self) -> Rows:
        """Where the padded input holds row n of split r: [rows, s]."""
        n, r = np.arange(self.rows, dtype=np.int64)[:, None], np.arange(self.stride)[None, :]
        return self.stride * n + self.dilation * r

    def split_taps(self, weight: npt.NDArray[np.floating], axis: int) -> npt.NDArray[np.floating]:
        """Split the taps on `axis` of a weight by stride: that axis becomes (taps of a split, splits)."""
        each = self.each_taps
        padding = [(0, 0)] * weight.ndim
        padding[axis] = (0, each * self.stride - self.taps)
        shape = (*weight.shape[:axis], each, self.stride, *weight.shape[axis + 1 :])
        return np.pad(weight, padding).reshape(shape)

    def output_places(self) -> tuple[Rows, Rows]:
        """For every output: its position within its tile, and its tile among the columns; each [length]."""
        step, phase = np.divmod(np.arange(self.length, dtype=np.int64), self.dilation)
        q, s = np.divmod(step, self.outputs_per_tile)
        return s, q * self.phases + phase


class AxisTiling(TiledAxis):
    """One spatial axis of the FFT form; a tile that holds a whole phase makes use of the padding's zeros."""

    @cached_property
    def form(self) -> FFTForm:
        """The bilinear form of a tile; one that holds a whole phase makes use of the padding's zeros."""
        if self._zeros_allow(self._even_phase):
            return FFTForm(self.tile, self.each_taps, self._even_phase)
        return FFTForm.valid(self.tile, self.each_taps)

    @property
    def _even_phase(self) -> int:
        """Outputs of the longest phase, or one more: with the taps they make an even tile."""
        return self.phase + (self.phase + self.each_taps - 1) % 2

    def _zeros_allow(self, outputs: int) -> bool:
        """Whether one tile gives all `outputs` of a phase, the padding being zeros; see `FFTForm`.

        Rows of the phase before ``before // d`` are padding, and so are those from ``(before + extent) / d`` on.
        What lies beside the tile on the left wraps around to rows from T on, on the right to rows before 2c.
        """
        beside = outputs + self.each_taps - 1 - self.tile
        if self.stride != 1 or not 0 <= beside <= self.tile or self.each_taps > self.tile:
            return False
        end = ceil((self.before + self.extent) / self.dilation)
        return end <= self.tile and beside <= self.before // self.dilation

    @classmethod
    def whole(cls, spec: ConvSpec, axis: int) -> int:
        """The shortest tile that holds a whole phase of `axis`."""
        outputs = cls.of(spec, axis, tile=2)._even_phase
        rows = outputs + cls.of(spec, axis, tile=2).each_taps - 1
        return next(
            tile
            for tile in range(2, rows + 1, 2)
            if tile == rows or cls.of(spec, axis, tile)._zeros_allow(outputs)
        )

    @property
    def outputs_per_tile(self) -> int:
        """S: outputs that one tile gives."""
        return self.form.outputs

    @property
    def margin(self) -> int:
        """Rows of a phase before its first tile, which are zeros and wrap around."""
        return self.form.margin

    @property
    def upper(self) -> Rows:
        """Rows of the right half of every tile: [H, M]."""
        return self.steps()[self.form.half :]

    @property
    def lower(self) -> Rows:
        """Rows of the left half, mirrored: [H, M]."""
        return self.steps()[: self.form.half][::-1]

    def outputs(self) -> tuple[Rows, Rows]:
        """For every output: its mirrored row within a tile, and its tile among the columns; each [length]."""
        s, column = self.output_places()
        return self.form.mirrored_row(s), column


_BLOCK = 8
"""Channels that engines keep together in a Conv; with other numbers they fall back to plain products."""


@dataclass(frozen=True)
class TiledLowering(Lowering):
    """A convolution by tiles, whose products with the taps are in one of three forms; see `rows_writer`.

    Args:
        tile: T per spatial axis of the canonical form, even and at least its number of taps.
        product_form: the form of the products; None is a batched MatMul of tiles and taps.
    """

    tile: tuple[int, ...]
    product_form: ProductForm | None = None

    @property
    def label(self) -> str:
        """The name with its parameters: ``fft(tile=48)``, ``toom-cook(tile=6x6, grouped)``."""
        return f"{self.name}({', '.join(self._parameters)})"

    @property
    def _parameters(self) -> list[str]:
        return [f"tile={'x'.join(map(str, self.tile))}", *([self.product_form] if self.product_form else [])]

    def with_products(self, form: ProductForm, spec: ConvSpec) -> Self | None:
        """The same tiles with another form of the products.

        A grouped Conv is for whole blocks of channels in float32 without groups.
        """
        least = canonical(spec)
        depth = prod(least.strides) * least.in_channels
        blocks = depth % _BLOCK == 0 and least.out_channels % _BLOCK == 0
        if form == "grouped" and not (blocks and least.groups == 1 and least.dtype == "float32"):
            return None
        return replace(self, product_form=form)

    @property
    def table_passes(self) -> int:
        """How often a call moves the transformed taps: the right-hand side of a MatMul is copied in order first."""
        return 2 if self.product_form is None else 1

    def idle_multiply_adds(self, spec: ConvSpec, block: int) -> int:
        """Those of the blocks of columns that the tiles, or the output channels, do not fill; none in a Conv."""
        if self.product_form == "grouped":
            return 0
        least = canonical(spec)
        tiles = least.batch * prod(tiling.columns for tiling in self.tilings(spec))
        depth, outputs = prod(least.strides) * least.in_channels, least.out_channels // least.groups
        taps_first = self.product_form == "taps first"
        idle = -tiles % block * outputs if taps_first else -outputs % block * tiles
        return self.products(spec) * depth * idle

    @abstractmethod
    def tilings(self, spec: ConvSpec) -> Sequence[TiledAxis]:
        """How each spatial axis of the canonical form is cut."""

    @abstractmethod
    def products(self, spec: ConvSpec) -> int:
        """Products of channels that a tile takes."""
