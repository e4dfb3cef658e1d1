"""The engine's own convolution without the taps that only ever multiply padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim, trim_weight
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.graph_writer import GraphWriter


class Trimmed(Lowering):
    """ONNX's operator Conv with fewer taps; see `dead_taps`."""

    name: ClassVar[str] = "trimmed"

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """Where every tap is alive, or there is no output."""
        if min(spec.out_spatial) < 1:
            return "no output: the kernel is longer than the padded input"
        return "every tap is alive" if trim(spec) == spec else None

    @classmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:  # noqa: ARG003
        """The one way."""
        return [cls()]

    @property
    def label(self) -> str:
        """``trimmed``."""
        return self.name

    def multiply_adds(self, spec: ConvSpec) -> int:
        """Those of the taps that are left."""
        return Direct().multiply_adds(trim(spec))

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Input, output and the weights that are left."""
        return Direct().bytes_moved(trim(spec))

    def operators(self, spec: ConvSpec) -> int:  # noqa: ARG002
        """One."""
        return 1

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write one Conv node; see `Lowering.write`."""
        return Direct().write(writer, trim(spec), x, trim_weight(spec, weight), bias)
