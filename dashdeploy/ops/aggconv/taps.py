"""Where the taps of an aggregated convolution fall: distances, dead taps, and the layouts that methods need.

Positions are counted on the input. Output i of an axis sits at ``s i`` for the stride s, and a tap of distance o
reads the input at ``s i + o``. Everything here is plain integers and index tensors; no weight is touched.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dashdeploy.ops.conv.frame import Frame, Offsets


@dataclass(frozen=True)
class Taps:
    """A choice of taps and their places in an aggregated kernel.

    Attributes:
        kept: rows of the weight, [taps], or None for all of them in order.
        candidate: each tap's candidate in K x D (dilation fastest), [taps].
        at: each tap's place in the aggregated kernel, [taps].
        size: places of the aggregated kernel.
    """

    kept: Tensor | None
    candidate: Tensor
    at: Tensor
    size: int

    def aggregate(self, weight: Tensor, coefficients: Tensor) -> Tensor:
        """The aggregated kernel ``sum a[k, d] w[k, d]`` of equation 3, in one scatter.

        Args:
            weight: every candidate's taps, one under the other, [taps, out, in].
            coefficients: the mixing coefficients a, [|K||D|].

        Returns:
            The kernel with its taps first, [size, out, in].
        """
        taps = weight if self.kept is None else weight.index_select(0, self.kept)
        weighted = taps * coefficients.index_select(0, self.candidate)[:, None, None]
        return weighted.new_zeros(self.size, *weight.shape[1:]).index_add(0, self.at, weighted)


@dataclass(frozen=True)
class TapBox:
    """Taps that lie on one lattice, so that one dilated convolution computes them all.

    Attributes:
        taps: which they are, with their places in the box, row by row.
        dilation: distance between neighbors of the lattice.
        low: the first tap's distance.
        shape: taps per axis.
    """

    taps: Taps
    dilation: int
    low: Offsets
    shape: Offsets


@dataclass(frozen=True)
class TapPlan:
    """All live taps of a search space, for one input size.

    A tap is dead, and left out, if it only ever multiplies padding.

    Attributes:
        distances: the distinct distances of the live taps, sorted.
        distinct: the taps, with `distances` as their places.
        boxes: one box per dilation and residue, with which |D| convolutions do the work of |K||D|.
        whole: all of them in one box of dilation 1, the aggregated kernel of equation 3 as it stands.
        low: the least distance per axis.
        high: the greatest distance per axis.
        spatial: extents of the input.
        out: extents of the output.
    """

    distances: tuple[Offsets, ...]
    distinct: Taps
    boxes: tuple[TapBox, ...]
    whole: TapBox
    low: Offsets
    high: Offsets
    spatial: Offsets
    out: Offsets


@lru_cache(maxsize=256)
def tap_plan(
    kernel_sizes: tuple[int, ...],
    dilations: tuple[int, ...],
    frame: Frame,
    spatial: Offsets,
    device: torch.device,
) -> TapPlan:
    """Lay out the candidates' taps for inputs of the extents `spatial`; `device` is where the indices go."""
    live: list[tuple[int, int, Offsets]] = []
    lattices: dict[tuple[int, Offsets], list[int]] = {}
    row = 0
    for index, (k, d) in enumerate(itertools.product(kernel_sizes, dilations)):
        anchor = frame.anchor(k, d)
        for tap in itertools.product(range(k), repeat=frame.rank):
            distance = tuple(t * d - anchor + shift for t, shift in zip(tap, frame.shift, strict=True))
            if _is_live(distance, frame, spatial):
                # An even kernel's taps may lie between those of an odd one with the same dilation.
                lattice = d, tuple(o % d for o in distance)
                lattices.setdefault(lattice, []).append(len(live))
                live.append((row, index, distance))
            row += 1
    distances = tuple(sorted({distance for _, _, distance in live}))
    places = {distance: place for place, distance in enumerate(distances)}
    low, high = _extremes(distances, frame.rank)
    boxes = []
    for (d, _), members in lattices.items():
        boxes.append(_box([live[i] for i in members], d, frame.rank, row, device))
    return TapPlan(
        distances=distances,
        distinct=_taps(live, [places[distance] for _, _, distance in live], len(distances), row, device),
        boxes=tuple(boxes),
        whole=_box(live, 1, frame.rank, row, device),
        low=low,
        high=high,
        spatial=spatial,
        out=frame.out(spatial),
    )


def _is_live(distance: Offsets, frame: Frame, spatial: Offsets) -> bool:
    axes = zip(distance, frame.stride, frame.out(spatial), spatial, strict=True)
    return all(-s * (m - 1) <= o < n for o, s, m, n in axes)


def _extremes(distances: Iterable[Offsets], rank: int) -> tuple[Offsets, Offsets]:
    known = list(distances) or [(0,) * rank]
    return tuple(map(min, zip(*known, strict=True))), tuple(map(max, zip(*known, strict=True)))


def _box(
    live: Sequence[tuple[int, int, Offsets]], dilation: int, rank: int, rows: int, device: torch.device
) -> TapBox:
    low, high = _extremes([distance for _, _, distance in live], rank)
    shape = tuple((hi - lo) // dilation + 1 for lo, hi in zip(low, high, strict=True))
    places = []
    for _, _, distance in live:
        place = 0
        for o, lo, size in zip(distance, low, shape, strict=True):
            place = place * size + (o - lo) // dilation
        places.append(place)
    size = 1
    for count in shape:
        size *= count
    return TapBox(_taps(live, places, size, rows, device), dilation, low, shape)


def _taps(
    live: Sequence[tuple[int, int, Offsets]], places: list[int], size: int, rows: int, device: torch.device
) -> Taps:
    with torch.inference_mode(False):  # cached tensors take part in later backward passes
        kept = torch.tensor([row for row, _, _ in live], dtype=torch.long, device=device)
        return Taps(
            kept=None if len(live) == rows else kept,
            candidate=torch.tensor([index for _, index, _ in live], dtype=torch.long, device=device),
            at=torch.tensor(places, dtype=torch.long, device=device),
            size=size,
        )
