"""Convolutions for tests: written down, drawn at random, and computed by PyTorch in float64."""

import numpy as np
import torch
from hypothesis import strategies as st

from dashdeploy.export.lowerings.conv_spec import ConvSpec


def conv(cin, cout, spatial, kernel, dilations=1, pads=0, groups=1, strides=1, bias=True):
    """A spec; every axis takes the same value where one number is given. `pads`: (before, after) per axis."""
    rank = 1 if isinstance(spatial, int) else len(spatial)

    def each(value):
        return (value,) * rank if isinstance(value, int) else tuple(value)

    pads = [(pads, pads)] * rank if isinstance(pads, int) else pads
    return ConvSpec(
        in_channels=cin,
        out_channels=cout,
        groups=groups,
        spatial=each(spatial),
        kernel=each(kernel),
        strides=each(strides),
        dilations=each(dilations),
        pads_begin=tuple(before for before, _ in pads),
        pads_end=tuple(after for _, after in pads),
        bias=bias,
    )


@st.composite
def axes(draw, longest, widest_kernel, widest_dilation, widest_stride):
    """Extent, taps, dilation, stride and padding of one axis: any at all that leaves an output.

    The field may be far wider than the input; the reference, which pads for real, sets the limit to the outputs.
    """
    k, d = draw(st.integers(1, widest_kernel)), draw(st.integers(1, widest_dilation))
    extent = draw(st.integers(1, longest))
    field = d * (k - 1)
    missing = max(0, field + 1 - extent)  # the least padding that leaves one output
    if draw(st.booleans()):  # 'same', where tiles make use of the padding's zeros
        before, after = field // 2, field - field // 2
    else:
        before = draw(st.integers(0, field + 5))
        least = max(0, missing - before)
        after = draw(st.integers(least, max(least, min(field + 5, longest + field - extent - before))))
    return extent, k, d, draw(st.integers(1, widest_stride)), (before, after)


@st.composite
def convolutions(draw, rank, most_channels, **limits):
    """Dense, grouped or depthwise, with a bias or without."""
    if draw(st.booleans()):
        groups = draw(st.integers(1, 4))
        cin, cout = (groups * draw(st.integers(1, most_channels // groups)) for _ in range(2))
    else:
        groups = cin = draw(st.integers(1, most_channels))
        cout = groups * draw(st.integers(1, 2))
    spatial, kernel, dilations, strides, pads = zip(*(draw(axes(**limits)) for _ in range(rank)), strict=True)
    return conv(cin, cout, spatial, kernel, dilations, pads, groups, strides, draw(st.booleans()))


def reference(spec, x, weight, bias):
    """PyTorch's convolution in float64."""
    pads = [pad for both in zip(spec.pads_begin, spec.pads_end, strict=True) for pad in both[::-1]][::-1]
    convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d}[spec.rank]
    return convolve(
        torch.nn.functional.pad(torch.from_numpy(x).double(), pads),
        torch.from_numpy(weight).double(),
        None if bias is None else torch.from_numpy(bias).double(),
        stride=spec.strides,
        dilation=spec.dilations,
        groups=spec.groups,
    ).numpy()


def typical_size(spec, x, weight, bias):
    """The largest typical size of an output.

    An output is a sum over n taps and channels whose signs are chance, so its typical size is that of a random
    walk: the root mean square of the taps times the 2-norm of the inputs under them, and the bias. Its rounding
    errors go by the same two norms, in whatever order or by whichever transform the sum is formed (Higham, Accuracy
    and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 24.1; Higham and Mary, SIAM J. Sci. Comput.
    41(5), 2019, for the square root of n). The output itself may cancel to nothing, and says nothing of its error
    then.
    """
    inputs = np.sqrt(reference(spec, x.astype(np.float64) ** 2, np.ones_like(weight), None))
    per_channel = (1, -1, *[1] * spec.rank)
    taps = np.sqrt(np.mean(weight.astype(np.float64) ** 2, axis=tuple(range(1, weight.ndim))))
    typical = taps.reshape(per_channel) * inputs + (0 if bias is None else np.abs(bias).reshape(per_channel))
    return typical.max()
