"""Overlap-save: cutting the input of a correlation into tiles, and putting the pieces of its result together.

Tile q reads inputs ``first + q valid`` to ``first + q valid + T - 1`` and gives outputs ``q valid`` to
``q valid + valid - 1``, which begin at the place `offset` of its result; the other outputs of its circular
correlation are wrapped around and dropped. Backward, the gradients of a tile's inputs overlap with its neighbors' and
are added up. Only series are cut; an image is one tile.

Tiles are laid out [groups, B, tiles, channels / groups, *lengths], which is how the channel contraction wants them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import torch.nn.functional as F
from torch import Tensor

from dashdeploy.ops.aggconv.taps import TapPlan
from dashdeploy.ops.conv.frame import Frame, Offsets


@cache
def smooth_length(least: int) -> int:
    """The smallest length of at least `least` whose only prime factors are 2, 3 and 5: a quick FFT."""
    length = max(least, 1)
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def whole_lengths(plan: TapPlan, frame: Frame) -> Offsets:
    """The transform's length per axis if the input is transformed in one piece.

    It need only be so long that what wraps around stays off the outputs that are wanted: T >= n - low and
    T >= m + high, where low and high are the farthest taps.
    """
    axes = zip(plan.spatial, plan.out, frame.stride, plan.low, plan.high, strict=True)
    return tuple(
        smooth_length(max(n - min(low, 0), s * (m - 1) + 1 + max(high, 0), n)) for n, m, s, low, high in axes
    )


@dataclass(frozen=True)
class Tiling:
    """A way to cut an input.

    Attributes:
        lengths: extents of a tile, which are the transform's.
        spatial: extents of the input.
        out: extents of the output.
        stride: steps between outputs.
        tiles: how many tiles there are.
        first: input position at which the first tile begins; 0 for a single one.
        valid: outputs of each tile but the last, at stride 1; 0 for a single one.
        offset: where a tile's outputs begin in its result: half of the field; 0 for a single one.
    """

    lengths: Offsets
    spatial: Offsets
    out: Offsets
    stride: Offsets
    tiles: int
    first: int
    valid: int
    offset: int = 0

    @property
    def middle(self) -> int:
        """The distance of a tap that a tile's result does not move: the middle of the field."""
        return self.first + self.offset

    @property
    def wanted(self) -> Offsets:
        """Extents of the output at stride 1."""
        return tuple(s * (m - 1) + 1 for s, m in zip(self.stride, self.out, strict=True))

    def cut(self, x: Tensor, groups: int) -> Tensor:
        """The tiles of an input [B, in, *spatial]; a single one may lack zeros at its end."""
        grouped = _grouped(x, groups).transpose(0, 1)
        if self.tiles == 1:
            return grouped.unsqueeze(2)
        (length,), (n,) = self.lengths, self.spatial
        after = (self.tiles - 1) * self.valid + length + self.first - n
        windows: Tensor = F.pad(grouped, (-self.first, after)).unfold(-1, length, self.valid)
        return windows.transpose(2, 3)

    def join(self, tiles: Tensor) -> Tensor:
        """The output [B, out, *spatial'] from what the tiles gave."""
        if self.tiles == 1:
            whole = tiles.squeeze(2).transpose(0, 1)
            every = [slice(0, extent, s) for extent, s in zip(self.wanted, self.stride, strict=True)]
            return whole[(slice(None), slice(None), slice(None), *every)].flatten(1, 2).contiguous()
        (wanted,), (s,) = self.wanted, self.stride
        pieces = tiles.permute(1, 0, 3, 2, 4)[..., self.offset : self.offset + self.valid]
        y = tiles.new_empty(*pieces.shape[:3], wanted)
        self._exchange(y, pieces, back=False)
        return y.flatten(1, 2)[..., ::s].contiguous()

    def cut_gradient(self, gradient: Tensor, groups: int) -> Tensor:
        """The adjoint of `join`; a single tile may lack zeros at its end."""
        if self.wanted != self.out:
            spread = gradient.new_zeros(*gradient.shape[:2], *self.wanted)
            every = [slice(None, None, s) for s in self.stride]
            spread[(slice(None), slice(None), *every)] = gradient
            gradient = spread
        grouped = _grouped(gradient, groups)
        if self.tiles == 1:
            return grouped.transpose(0, 1).unsqueeze(2)
        batch, _, channels = grouped.shape[:3]
        tiles = gradient.new_zeros(groups, batch, self.tiles, channels, *self.lengths)
        pieces = tiles.permute(1, 0, 3, 2, 4)[..., self.offset : self.offset + self.valid]
        self._exchange(grouped, pieces, back=True)
        return tiles

    def _exchange(self, whole: Tensor, pieces: Tensor, *, back: bool) -> None:
        """Copy [..., tiles, valid] to [..., wanted], or back: all tiles but the last, then what that has."""
        head = (self.tiles - 1) * self.valid
        front, rest = whole[..., :head].unfold(-1, self.valid, self.valid), whole[..., head:]
        first, last = pieces[..., :-1, :], pieces[..., -1, : rest.shape[-1]]
        for here, there in ((front, first), (rest, last)):
            if back:
                there.copy_(here)
            else:
                here.copy_(there)

    def join_gradient(self, tiles: Tensor) -> Tensor:
        """The adjoint of `cut`: the gradient of the input, [B, in, *spatial]."""
        if self.tiles == 1:
            whole = tiles.squeeze(2).transpose(0, 1)
            inside = [slice(0, n) for n in self.spatial]
            return whole[(slice(None), slice(None), slice(None), *inside)].flatten(1, 2).contiguous()
        (length,), (n,) = self.lengths, self.spatial
        pieces = tiles.permute(1, 0, 3, 2, 4)
        reach = -(-length // self.valid)
        total = tiles.new_empty(*pieces.shape[:3], self.tiles + reach - 1, self.valid)
        total[..., : self.tiles, :] = pieces[..., : self.valid]
        total[..., self.tiles :, :].zero_()
        for j in range(1, reach):
            part = pieces[..., j * self.valid : (j + 1) * self.valid]
            total[..., j : j + self.tiles, : part.shape[-1]] += part
        row = total.flatten(-2)
        return F.pad(row, (self.first, n - self.first - row.shape[-1])).flatten(1, 2)


def _grouped(x: Tensor, groups: int) -> Tensor:
    batch, channels = x.shape[:2]
    return x.reshape(batch, groups, channels // groups, *x.shape[2:])


@lru_cache(maxsize=256)
def tiling(plan: TapPlan, frame: Frame, tile: int) -> Tiling:
    """Tiles of the length `tile`; 0, or a length that is enough for the whole output, is a single one."""
    single = Tiling(
        whole_lengths(plan, frame), plan.spatial, plan.out, frame.stride, tiles=1, first=0, valid=0
    )
    if not tile or tile >= single.lengths[0]:
        return single
    (low,), (high,), (wanted,) = plan.low, plan.high, single.wanted
    valid = tile - (high - low)
    tiles = -(-wanted // valid)
    if tiles == 1:
        return single
    return replace(
        single, lengths=(tile,), tiles=tiles, first=low, valid=valid, offset=(low + high) // 2 - low
    )
