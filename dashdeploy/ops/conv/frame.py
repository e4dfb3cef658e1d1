"""How the outputs of a convolution sit on its inputs: stride, padding and alignment, whatever its kernel.

Positions are counted on the input. Output i of an axis sits at ``s i`` for the stride s, and a tap of distance o
reads the input at ``s i + o``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

Offsets = tuple[int, ...]
"""One integer per spatial axis."""


def same_padding(kernel_size: int, dilation: int) -> tuple[int, int]:
    """Zeros that torch's ``padding='same'`` puts on the left and on the right at stride 1."""
    total = dilation * (kernel_size - 1)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Frame:
    """How the outputs of a convolution sit on its inputs, whatever its kernel; one entry per spatial axis.

    Attributes:
        stride: steps between outputs.
        growth: padding minus the span d (k - 1) of the convolution that set the frame: an input of length n gives
            ``(n + growth - 1) // stride + 1`` outputs. 0 is 'same'.
        shift: distance of the kernel's anchor. 0 is 'same' for the anchor in the middle.
        causal: whether the anchor is the last tap, as in a causal convolution, instead of the middle one.
    """

    stride: Offsets
    growth: Offsets
    shift: Offsets
    causal: bool = False

    @classmethod
    def same(cls, rank: int) -> Frame:
        """Stride 1, centered, as many outputs as inputs."""
        return cls((1,) * rank, (0,) * rank, (0,) * rank)

    @classmethod
    def padded(
        cls, sides: Sequence[tuple[int, int]], span: int, stride: Offsets, *, causal: bool = False
    ) -> Frame:
        """That of a kernel which spans d (k - 1) positions, with zeros before and after each axis."""
        anchor = span if causal else span // 2
        growth = tuple(before + after - span for before, after in sides)
        return cls(stride, growth, tuple(anchor - before for before, _ in sides), causal)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.stride)

    def anchor(self, kernel_size: int, dilation: int) -> int:
        """Distance from the first tap to the anchor: torch's 'same' convention, or the whole span if causal."""
        span = dilation * (kernel_size - 1)
        return span if self.causal else span // 2

    def out(self, spatial: Sequence[int]) -> Offsets:
        """Extents of the output for inputs of the extents `spatial`."""
        axes = zip(spatial, self.growth, self.stride, strict=True)
        return tuple((n + growth - 1) // s + 1 for n, growth, s in axes)

    def padding(self, kernel_size: int, dilation: int, spatial: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Zeros before and after each axis for a kernel of this size; a negative number crops."""
        before = [self.anchor(kernel_size, dilation) - shift for shift in self.shift]
        return self.pads([-pad for pad in before], [kernel_size] * self.rank, dilation, spatial)

    def pads(
        self, low: Sequence[int], shape: Sequence[int], dilation: int, spatial: Sequence[int]
    ) -> tuple[tuple[int, int], ...]:
        """The same for a box of `shape` taps whose first has the distance `low`."""
        axes = zip(low, shape, self.stride, self.out(spatial), spatial, strict=True)
        return tuple((-o, s * (m - 1) + dilation * (k - 1) + 1 + o - n) for o, k, s, m, n in axes)


def frame_of(conv: nn.Conv1d | nn.Conv2d, *, causal: bool = False) -> Frame:
    """How the outputs of `conv` sit on its inputs.

    Args:
        conv: a convolution with zero padding and one kernel size and dilation for all axes.
        causal: whether its anchor is the last tap.

    A subclass with a forward of its own is taken to pad so that the length stays, as causal layers do.
    """
    rank = len(conv.kernel_size)
    if pads_itself(conv):
        return Frame(tuple(int(s) for s in conv.stride), (0,) * rank, (0,) * rank, causal)
    k, d = int(conv.kernel_size[0]), int(conv.dilation[0])
    return Frame.padded(padded_sides(conv), d * (k - 1), tuple(int(s) for s in conv.stride), causal=causal)


def padded_sides(conv: nn.Conv1d | nn.Conv2d) -> tuple[tuple[int, int], ...]:
    """Zeros that torch puts before and after each axis."""
    if conv.padding == "same":
        return tuple(same_padding(k, d) for k, d in zip(conv.kernel_size, conv.dilation, strict=True))
    if conv.padding == "valid":
        return ((0, 0),) * len(conv.kernel_size)
    return tuple((int(pad), int(pad)) for pad in conv.padding)


def pads_itself(conv: nn.Module) -> bool:
    """Whether a convolution's class has a forward of its own, so that its padding says nothing."""
    return type(conv).forward not in (nn.Conv1d.forward, nn.Conv2d.forward)
