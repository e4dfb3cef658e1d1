"""Convolutions and pools along one or two axes, as LiteRT's of two axes with channels last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dashdeploy.errors import InputError
from dashdeploy.runtimes.converted.tflite.graph import Graph, Value

Attributes = Mapping[str, Any]

_SAME, _VALID = 0, 1
_LOWEST = float(np.finfo(np.float32).min)


def _spatial_last(rank: int) -> tuple[int | None, ...]:
    """[B, H, W, C] of a value with one or two spatial axes; H is missing from the former."""
    return (0, None, 2, 1) if rank == 3 else (0, 2, 3, 1)


def _planar(values: Sequence[int], missing: int = 1) -> list[int]:
    """Numbers for H and W."""
    return [missing, *values] if len(values) == 1 else [*values]


class _Window:
    """Kernel, strides, dilations and padding of a node, along its spatial axes."""

    def __init__(self, attributes: Attributes, kernel: Sequence[int], spatial: Sequence[int]) -> None:
        rank = len(kernel)
        self.kernel = [*kernel]
        self.strides = [*attributes.get("strides", [1] * rank)]
        self.dilations = [*attributes.get("dilations", [1] * rank)]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, self.dilations, strict=True)]
        same = [_total(n, r, s) for n, r, s in zip(spatial, reach, self.strides, strict=True)]
        kind = attributes.get("auto_pad", b"NOTSET").decode()
        pads = attributes.get("pads", [0] * (2 * rank))
        self.before, self.after = [*pads[:rank]], [*pads[rank:]]
        if kind in ("SAME_UPPER", "SAME_LOWER"):
            less, more = [n // 2 for n in same], [n - n // 2 for n in same]
            self.before, self.after = (less, more) if kind == "SAME_UPPER" else (more, less)
        elif kind == "VALID":
            self.before, self.after = [0] * rank, [0] * rank
        self.as_same = self.before == [n // 2 for n in same] and self.after == [n - n // 2 for n in same]

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.before) or any(self.after)


def _total(size: int, reach: int, stride: int) -> int:
    """What LiteRT pads for SAME."""
    return max(0, (-(-size // stride) - 1) * stride + reach - size)


def _padded(graph: Graph, value: Value, window: _Window, fill: float = 0.0) -> tuple[Value, int]:
    """The value and the padding of the operator that reads it: SAME where that means the same, else done before."""
    if not window.padded:
        return value, _VALID
    if window.as_same:
        return value, _SAME
    before, after = [0, 0, *window.before], [0, 0, *window.after]
    shape = tuple(size + b + a for size, b, a in zip(value.shape, before, after, strict=True))
    pads = np.asarray([value.laid_out(before, 0), value.laid_out(after, 0)], np.int32).T
    inputs = [value.tensor, graph.writer.constant(pads)]
    if fill:
        inputs.append(graph.writer.constant(np.full(1, fill, np.float32)))
    return graph.op("PADV2" if fill else "PAD", inputs, value, shape), _VALID


def convolution(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    """Conv along one or two axes, with or without groups.

    Raises:
        InputError: more axes, or taps that are computed.
    """
    weight = graph.constant(inputs[1])
    if weight is None or weight.ndim not in (3, 4):
        raise InputError(f"LiteRT: the convolution to {output} has three axes or computed taps")
    x = graph.arranged(graph.value(inputs[0]), _spatial_last(weight.ndim))
    window = _Window(attributes, weight.shape[2:], x.shape[2:])
    groups = int(attributes.get("group", 1))
    # LiteRT convolves each channel for itself with a multiplier that is the outermost of the outputs' axes.
    depthwise = groups > 1 and groups == x.shape[1]
    taps = weight[:, :, None] if weight.ndim == 3 else weight
    taps = taps.transpose(1, 2, 3, 0) if depthwise else taps.transpose(0, 2, 3, 1)
    options: dict[str, Any] = {"depthMultiplier": weight.shape[0] // groups} if depthwise else {}
    (stride_h, stride_w), (dilation_h, dilation_w) = _planar(window.strides), _planar(window.dilations)
    bias = graph.constant(inputs[2]) if len(inputs) > 2 and inputs[2] else None
    bias = np.zeros(weight.shape[0], np.float32) if bias is None else bias
    x, padding = _padded(graph, x, window)
    return graph.op(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        (x.tensor, graph.writer.constant(taps), graph.writer.constant(bias)),
        x,
        graph.shape(output),
        padding=padding,
        strideH=stride_h,
        strideW=stride_w,
        dilationHFactor=dilation_h,
        dilationWFactor=dilation_w,
        **options,
    )


def transposed_convolution(graph: Graph, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    """ConvTranspose along one or two axes: everything that the taps reach, and then without the padding.

    Raises:
        InputError: more axes, computed taps, groups, dilations, or a size that reaches beyond the taps.
    """
    weight, shape = graph.constant(inputs[1]), graph.shape(output)
    dilations = max(attributes.get("dilations", [1]))
    if weight is None or weight.ndim not in (3, 4) or attributes.get("group", 1) != 1 or dilations > 1:
        raise InputError(
            f"LiteRT: the transposed convolution to {output} has three axes, groups, dilations or computed taps"
        )
    x = graph.arranged(graph.value(inputs[0]), _spatial_last(weight.ndim))
    kernel, rank = weight.shape[2:], weight.ndim - 2
    strides = [*attributes.get("strides", [1] * rank)]
    whole = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, kernel, strict=True)]
    before = [*attributes.get("pads", [0] * (2 * rank))[:rank]]
    named = attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in attributes
    if named or any(b + n > w for b, n, w in zip(before, shape[2:], whole, strict=True)):
        raise InputError(
            f"LiteRT: the transposed convolution to {output} has `auto_pad` or `output_shape`, or is larger than "
            "what its taps reach"
        )
    taps = weight[:, :, None] if weight.ndim == 3 else weight
    bias = graph.constant(inputs[2]) if len(inputs) > 2 and inputs[2] else None
    bias = np.zeros(weight.shape[1], np.float32) if bias is None else bias
    full = (*shape[:2], *whole)
    stride_h, stride_w = _planar(strides)
    everything = graph.op(
        "TRANSPOSE_CONV",
        (
            graph.writer.integers(Value(-1, full, x.axes).laid_out(full, 1)),
            graph.writer.constant(taps.transpose(1, 2, 3, 0)),
            x.tensor,
            graph.writer.constant(bias),
        ),
        x,
        full,
        padding=_VALID,
        strideH=stride_h,
        strideW=stride_w,
    )
    end = [b + n for b, n in zip(before, shape[2:], strict=True)]
    return graph.cut(everything, [0, 0, *before], [*shape[:2], *end])


def pool(graph: Graph, kind: str, attributes: Attributes, inputs: Sequence[str], output: str) -> Value:
    """MaxPool or AveragePool along one or two axes.

    Raises:
        InputError: dilations, a rounded-up size, or more axes.
    """
    x = graph.value(inputs[0])
    kernel = [*attributes["kernel_shape"]]
    window = _Window(attributes, kernel, x.shape[2:])
    if x.rank not in (3, 4) or max(window.dilations) > 1 or attributes.get("ceil_mode", 0):
        raise InputError(f"LiteRT: the pool to {output} has three axes, dilations or `ceil_mode`")
    x = graph.arranged(x, _spatial_last(x.rank))
    shape = graph.shape(output)
    average = kind == "AveragePool"
    # LiteRT's average leaves out padding, and so do its SAME maxima; what is padded before counts.
    counts = average and window.padded and not attributes.get("count_include_pad", 0)
    if counts and not window.as_same:
        raise InputError(f"LiteRT: the average pool to {output} pads more on one side than the other")
    if average and window.padded and not counts:
        window.as_same = False
    x, padding = _padded(graph, x, window, 0.0 if average else _LOWEST)
    (stride_h, stride_w), (height, width) = _planar(window.strides), _planar(kernel)
    return graph.op(
        "AVERAGE_POOL_2D" if average else "MAX_POOL_2D",
        (x.tensor,),
        x,
        shape,
        padding=padding,
        strideH=stride_h,
        strideW=stride_w,
        filterHeight=height,
        filterWidth=width,
    )
