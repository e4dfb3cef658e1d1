"""Dead taps: with static sizes, a tap that only ever multiplies padding can be left out, exactly.

Tap j of an axis reads the inputs ``s n - before + d j`` for the outputs n = 0 .. N'-1; it is dead if all of them lie
before the input or all behind it. With k = 9 and d = 15 on 32 positions and 'same' padding, 5 of 9 taps are alive.
"""

from __future__ import annotations

from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec


def live_taps(spec: ConvSpec) -> tuple[slice, ...]:
    """The taps to keep, per spatial axis; at least one is kept, and the padding stays non-negative."""
    return tuple(_live(spec, axis) for axis in range(spec.rank))


def trim(spec: ConvSpec) -> ConvSpec:
    """The same convolution without its dead taps; a kernel of one tap gets dilation 1."""
    kernel, dilations, begin, end = [], [], [], []
    for axis, live in enumerate(live_taps(spec)):
        d, size = spec.dilations[axis], live.stop - live.start
        kernel.append(size)
        dilations.append(1 if size == 1 else d)
        begin.append(spec.pads_begin[axis] - d * live.start)
        end.append(spec.pads_end[axis] - d * (spec.kernel[axis] - live.stop))
    return spec.model_copy(
        update={
            "kernel": tuple(kernel),
            "dilations": tuple(dilations),
            "pads_begin": tuple(begin),
            "pads_end": tuple(end),
        }
    )


def trim_weight(spec: ConvSpec, weight: Weights) -> Weights:
    """The weight that goes with `trim(spec)`: [out_channels, in_channels / groups, *kernel]."""
    return weight[(slice(None), slice(None), *live_taps(spec))]


def _live(spec: ConvSpec, axis: int) -> slice:
    k, d, s = spec.kernel[axis], spec.dilations[axis], spec.strides[axis]
    before, after, extent = spec.pads_begin[axis], spec.pads_end[axis], spec.spatial[axis]
    reach = s * (spec.out_spatial[axis] - 1)  # from the first input that a tap reads to the last
    start, stop = 0, k
    while start + 1 < stop and reach + d * start - before < 0 and before - d * (start + 1) >= 0:
        start += 1
    while stop - 1 > start and d * (stop - 1) - before >= extent and after - d * (k - stop + 1) >= 0:
        stop -= 1
    return slice(start, stop)
