"""A lowering is one way to compute a convolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.graph_writer import GraphWriter

Weights = npt.NDArray[np.floating]

ProductForm = Literal["grouped", "taps first"]
"""How the products with the taps can be written beside a batched MatMul of tiles x taps; see `rows_writer`."""


class Lowering(ABC):
    """One way to compute a convolution; an instance holds its parameters (such as a tile length).

    Attributes:
        name: what settings and plans call it.
        revision: raised whenever `write` writes other operators, so that costs measured before are not used.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1

    @classmethod
    @abstractmethod
    def refuses(cls, spec: ConvSpec) -> str | None:
        """Why this lowering cannot compute `spec` exactly, or None if it can."""

    @classmethod
    @abstractmethod
    def variants(cls, spec: ConvSpec) -> Sequence[Lowering]:
        """The instances worth considering for `spec`."""

    def with_products(self, form: ProductForm, spec: ConvSpec) -> Lowering | None:  # noqa: ARG002
        """The same with its products in another form; None where it has none, or they cannot be."""
        return None

    def idle_multiply_adds(self, spec: ConvSpec, block: int) -> int:  # noqa: ARG002
        """Multiply-adds for nothing, where an engine computes columns of the products in blocks of so many."""
        return 0

    @property
    @abstractmethod
    def label(self) -> str:
        """The name with its parameters, as plans show it: ``fft(tile=48)``."""

    @abstractmethod
    def multiply_adds(self, spec: ConvSpec) -> int:
        """Multiply-adds of one call, of `spec.batch` samples."""

    @abstractmethod
    def bytes_moved(self, spec: ConvSpec) -> int:
        """Bytes read and written in one call, weights included."""

    @abstractmethod
    def operators(self, spec: ConvSpec) -> int:
        """Operators that move data: what an engine launches at least."""

    @abstractmethod
    def write(
        self, writer: GraphWriter, spec: ConvSpec, x: ir.Value, weight: Weights, bias: Weights | None
    ) -> ir.Value:
        """Write the convolution as ONNX nodes.

        Args:
            writer: where the nodes go.
            spec: the convolution.
            x: the input, [batch, in_channels, *spatial].
            weight: [out_channels, in_channels / groups, *kernel].
            bias: [out_channels], or None.

        Returns:
            The output, [batch, out_channels, *out_spatial].
        """
