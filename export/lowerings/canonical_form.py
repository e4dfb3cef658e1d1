"""The canonical form of a convolution: the same sums with the fewest taps and the fewest spatial axes, exactly.

Dead taps are left out first. Then an axis that the kernel spans as a whole, without padding, is not a spatial axis:
its one output sums over all its positions as it sums over the channels, so the axis is folded into these,

    y[o, 0, n] = sum_c sum_h sum_k w[o, c, h, k] x[c, h, n + k] = sum_(c,h) sum_k w[o, (c,h), k] x[(c,h), n + k]

An axis of length 1 is the simplest case: a 1-D convolution in 2-D clothes, as TensorFlow's exporters write it. One
axis stays, whatever the kernel spans.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from dashdeploy.export.lowerings.base import Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim, trim_weight


def folded_axes(spec: ConvSpec) -> tuple[int, ...]:
    """The spatial axes that become part of the channels; dead taps do not count."""
    living = trim(spec)
    whole = [
        axis
        for axis in range(living.rank)
        if living.kernel[axis] == living.spatial[axis]
        and living.dilations[axis] == 1
        and living.pads_begin[axis] == living.pads_end[axis] == 0
    ]
    # Of axes that could all be folded, the longest one stays.
    if len(whole) == living.rank:
        whole.remove(max(whole, key=lambda axis: living.spatial[axis]))
    return tuple(whole)


def kept_axes(spec: ConvSpec) -> tuple[int, ...]:
    """The spatial axes that are left."""
    folded = folded_axes(spec)
    return tuple(axis for axis in range(spec.rank) if axis not in folded)


@lru_cache(maxsize=256)
def canonical(spec: ConvSpec) -> ConvSpec:
    """The convolution without its dead taps and folded axes; itself if it has neither."""
    living, folded, kept = trim(spec), folded_axes(spec), kept_axes(spec)
    if not folded:
        return living
    size = prod(living.spatial[axis] for axis in folded)
    along_kept = {
        name: tuple(getattr(living, name)[axis] for axis in kept)
        for name in ("spatial", "kernel", "strides", "dilations", "pads_begin", "pads_end")
    }
    return living.model_copy(update={"in_channels": size * living.in_channels, **along_kept})


def canonical_weight(spec: ConvSpec, weight: Weights) -> Weights:
    """The weight that goes with `canonical(spec)`: [out_channels, in_channels / groups, *kernel]."""
    living, folded, kept = trim_weight(spec, weight), folded_axes(spec), kept_axes(spec)
    if not folded:
        return living
    order = (0, 1, *(2 + axis for axis in folded), *(2 + axis for axis in kept))
    shape = (living.shape[0], -1, *(living.shape[2 + axis] for axis in kept))
    return np.ascontiguousarray(living.transpose(order)).reshape(shape)


def folds_in_place(spec: ConvSpec) -> bool:
    """Whether the channels and the folded axes lie beside each other in memory, so that a reshape folds them."""
    lengthy = [axis for axis in range(spec.rank) if spec.spatial[axis] > 1]
    folded = [axis for axis in folded_axes(spec) if axis in lengthy]
    return folded == lengthy[: len(folded)]
