"""The engine's own convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter


class Direct(Lowering):
    """ONNX's operator Conv, as the engine runs it. It takes every convolution."""

    name: ClassVar[str] = "direct"

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:  # noqa: ARG003
        """Never."""
        return None

    @classmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:  # noqa: ARG003
        """The one way."""
        return [cls()]

    @property
    def label(self) -> str:
        """``direct``."""
        return self.name

    def multiply_adds(self, spec: ConvSpec) -> int:
        """Those of the definition."""
        return spec.multiply_adds

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Input, output and weights once each."""
        numbers = spec.in_channels * int(np.prod(spec.spatial)) + spec.out_channels * int(
            np.prod(spec.out_spatial)
        )
        weights = spec.out_channels * (spec.in_channels // spec.groups) * int(np.prod(spec.kernel))
        return (spec.batch * numbers + weights) * np.dtype(spec.dtype).itemsize

    def operators(self, spec: ConvSpec) -> int:  # noqa: ARG002
        """One."""
        return 1

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write one Conv node; see `Lowering.write`."""
        inputs = [x, writer.constant("weight", weight)]
        if bias is not None:
            inputs.append(writer.constant("bias", bias))
        return writer.op(
            "Conv",
            "conv",
            *inputs,
            kernel_shape=spec.kernel,
            strides=spec.strides,
            dilations=spec.dilations,
            pads=(*spec.pads_begin, *spec.pads_end),
            group=spec.groups,
        )
