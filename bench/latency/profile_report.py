"""A profile of a compiled model: the milliseconds of every layer."""

from __future__ import annotations

from collections.abc import Mapping

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.report.text_table import table


class LayerTime(FrozenModel):
    """One layer's part.

    Attributes:
        layer: its name, or an operator's in brackets.
        lowering: how it is computed; empty for what is not a planned layer.
        ms: milliseconds of a call.
        nodes: milliseconds of a call by operator.
    """

    layer: str
    lowering: str
    ms: float
    nodes: Mapping[str, float]


class Profile(FrozenModel):
    """Where the time of a compiled model goes.

    Attributes:
        bundle: the bundle's label.
        batch: items per call.
        threads: threads within one operator.
        layers: those that take most first.
    """

    bundle: str
    batch: int
    threads: int
    layers: tuple[LayerTime, ...]

    @property
    def title(self) -> str:
        """What was profiled."""
        return f"{self.bundle}, batch {self.batch}, {self.threads} thread(s): where the time goes"

    def shares(self) -> list[float]:
        """Every layer's share of the whole."""
        total = sum(layer.ms for layer in self.layers) or 1.0
        return [layer.ms / total for layer in self.layers]

    def text(self) -> str:
        """For a person."""
        rows: list[list[object]] = [
            [
                layer.layer,
                layer.lowering,
                f"{layer.ms:.4f}",
                f"{share:.1%}",
                ", ".join(f"{name} {ms:.3f}" for name, ms in layer.nodes.items()),
            ]
            for layer, share in zip(self.layers, self.shares(), strict=True)
        ]
        return table(["layer", "lowering", "ms", "share", "by operator, ms"], rows, title=self.title)
