"""The engine's own convolution in its canonical form: without dead taps, and without axes that it need not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import onnx_ir as ir

from dashdeploy.export.lowerings.base import Lowering, Weights
from dashdeploy.export.lowerings.canonical_form import canonical, canonical_weight, folds_in_place
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim, trim_weight
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.graph_writer import GraphWriter


class Trimmed(Lowering):
    """ONNX's operator Conv with fewer taps or fewer axes; see `canonical_form`."""

    name: ClassVar[str] = "trimmed"
    revision: ClassVar[int] = 2

    @classmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """Where the canonical form is the convolution as it is, or nothing is left of the output."""
        if min(spec.out_spatial) < 1:
            return "no output: the kernel is longer than the padded input"
        return "every tap is alive, and no axis can be folded" if _least(spec) == spec else None

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
        return Direct().multiply_adds(_least(spec))

    def bytes_moved(self, spec: ConvSpec) -> int:
        """Input, output and the weights that are left."""
        return Direct().bytes_moved(_least(spec))

    def operators(self, spec: ConvSpec) -> int:  # noqa: ARG002
        """One."""
        return 1

    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write one Conv node, between reshapes where it has fewer axes; see `Lowering.write`."""
        least = _least(spec)
        if least.rank == spec.rank:
            return Direct().write(writer, least, x, trim_weight(spec, weight), bias)
        folded = writer.reshape("folded", x, (-1, least.in_channels, *least.spatial))
        y = Direct().write(writer, least, folded, canonical_weight(spec, weight), bias)
        return writer.reshape("unfolded", y, (-1, spec.out_channels, *spec.out_spatial))


def _least(spec: ConvSpec) -> ConvSpec:
    """The canonical form where a reshape folds the axes; otherwise the convolution without its dead taps."""
    return canonical(spec) if folds_in_place(spec) else trim(spec)
